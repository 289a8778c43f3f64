//! What the tests share: short ways to write objects, and a transcription of the specification.
#![expect(dead_code, reason = "each test binary uses a part")]

pub(crate) mod build;
pub(crate) mod naive;
