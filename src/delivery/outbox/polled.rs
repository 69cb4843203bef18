//! The outbox of a polled stream: what is handed out stays until its receiver acknowledges it (RFC 8936).

use std::collections::{HashMap, HashSet};

use super::{Gate, Item, Jti, Outbox, Pos};

impl Outbox {
    /// Up to `max_events` waiting events of at most `max_bytes` (the first is given whatever its size), oldest first,
    /// and whether more could be had now. They stay until they are acknowledged. Flush before answering: an acknowledgement
    /// reaches no further than what was written down as handed out.
    pub fn hand_out(&mut self, max_events: usize, max_bytes: usize) -> (Vec<Item>, bool) {
        let mut out: Vec<Item> = Vec::new();
        let mut bytes = 0;
        let mut more = self.gate == Gate::Open && self.next.seq <= self.tail;
        for item in self.window().filter(|item| !item.acked) {
            bytes += item.claims().len();
            if out.len() == max_events || (bytes > max_bytes && !out.is_empty()) {
                more = true;
                break;
            }
            out.push(item.clone());
        }
        if let Some(last) = out.last() {
            let after = Pos {
                seq: last.pos.seq,
                idx: last.pos.idx + 1,
            };
            self.dirty |= after > self.handed;
            self.handed = self.handed.max(after);
        }
        (out, more)
    }

    /// The place of each of these events, if it was handed out and is not acknowledged yet.
    pub fn handed_out(&self, jtis: &[Jti]) -> HashMap<Jti, Pos> {
        let wanted: HashSet<&Jti> = jtis.iter().collect();
        // Acknowledgements count whatever the stream's status is.
        let events = self.window.iter().take_while(|item| item.pos < self.handed);
        self.control
            .waiting(Gate::Open)
            .chain(events)
            .filter(|item| !item.acked && wanted.contains(&item.jti))
            .map(|item| (item.jti, item.pos))
            .collect()
    }
}
