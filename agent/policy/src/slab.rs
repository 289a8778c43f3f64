//! Numbered places that are used again. A number given back is given out again only after [`Slab::settle`], so
//! that within a batch of events a number means one thing.

/// Values by number.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    places: Vec<Option<T>>,
    free: Vec<u32>,
    leaving: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
            leaving: Vec::new(),
        }
    }
}

impl<T> Slab<T> {
    /// Takes a value in; its number.
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        if let Some(number) = self.free.pop() {
            self.places[number as usize] = Some(value);
            return number;
        }
        self.places.push(Some(value));
        u32::try_from(self.places.len() - 1).expect("fewer than 2^32 objects fit into memory")
    }

    /// The value of a number, if it is in use.
    pub(crate) fn get(&self, number: u32) -> Option<&T> {
        self.places.get(number as usize)?.as_ref()
    }

    /// The value of a number, if it is in use.
    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.places.get_mut(number as usize)?.as_mut()
    }

    /// Gives a number back.
    pub(crate) fn remove(&mut self, number: u32) -> Option<T> {
        let value = self.places.get_mut(number as usize)?.take()?;
        self.leaving.push(number);
        Some(value)
    }

    /// Ends a batch: numbers given back in it may be given out again.
    pub(crate) fn settle(&mut self) {
        self.free.append(&mut self.leaving);
    }

    /// Numbers in use, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0..)
            .zip(&self.places)
            .filter_map(|(number, place)| Some((number, place.as_ref()?)))
    }

    /// How many are in use.
    pub(crate) const fn len(&self) -> usize {
        self.places.len() - self.free.len() - self.leaving.len()
    }
}
