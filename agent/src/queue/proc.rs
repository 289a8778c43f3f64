//! The kernel's own account of its queues: `/proc/net/netfilter/nfnetlink_queue`.

/// One queue. Counts are since it was bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueueStat {
    /// Its number.
    pub(crate) num: u16,
    /// Packets now waiting for a verdict.
    pub(crate) waiting: u64,
    /// Packets that did not fit into the queue.
    pub(crate) dropped: u64,
    /// Packets that did not fit into the socket's buffer.
    pub(crate) user_dropped: u64,
    /// The number of the latest packet.
    pub(crate) packet_id: u64,
}

/// Reads the queues from `first` on, `count` of them, of the caller's network namespace. Empty where the kernel
/// has no such file.
pub(crate) fn read(first: u16, count: u16) -> Vec<QueueStat> {
    let text = std::fs::read_to_string("/proc/thread-self/net/netfilter/nfnetlink_queue")
        .unwrap_or_default();
    let ours = |stat: &QueueStat| {
        stat.num
            .checked_sub(first)
            .is_some_and(|offset| offset < count)
    };
    text.lines().filter_map(parse).filter(ours).collect()
}

/// Columns (`nfnetlink_queue.c`, `seq_show`): number, port id, waiting, copy mode, copy range, dropped, user
/// dropped, packet id, 1.
fn parse(line: &str) -> Option<QueueStat> {
    let columns: Vec<u64> = line
        .split_whitespace()
        .map_while(|column| column.parse().ok())
        .collect();
    let &[
        num,
        _port,
        waiting,
        _mode,
        _range,
        dropped,
        user_dropped,
        packet_id,
        ..,
    ] = &columns[..]
    else {
        return None;
    };
    Some(QueueStat {
        num: u16::try_from(num).ok()?,
        waiting,
        dropped,
        user_dropped,
        packet_id,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_kernel_is_read() {
        let line = "  100  31204     3 2  1024     7     9      215  1";
        let expected = QueueStat {
            num: 100,
            waiting: 3,
            dropped: 7,
            user_dropped: 9,
            packet_id: 215,
        };
        assert_eq!(parse(line), Some(expected));
    }

    #[test]
    fn anything_else_is_passed_over() {
        for line in ["", "100", "a b c d e f g h i", "70000 1 2 3 4 5 6 7 1"] {
            assert_eq!(parse(line), None, "{line}");
        }
    }
}
