//! The keys under which a subject is found.
//!
//! A key is the shape's number, then hashes of the subject's parts. A search begins with the parts that are known: one step
//! into the index finds a row that has them, however many rows there are. But an event may have any of an added subject's
//! members and lack the others (SSF-8.1.3.1-3), and a key can be searched only from its beginning. So a subject is stored
//! under several keys, with its parts in different orders, chosen such that every set of parts is the beginning of one order.
//!
//! The orders come from matching brackets (Greene and Kleitman's chains of subsets): they are as few as possible, k over k/2
//! for k parts, so one row for a simple subject, 2 for two members, 3, 6, 10, 20, 35 and 70 for eight.

use serde_json::Value;

use crate::protocol::subject::{fingerprint, members};

/// Most parts a stored subject may have: sets of them are the bits of a byte.
pub const MAX_PARTS: usize = 8;

/// Stands for the value of a part, as far as identity goes.
pub type Hash = [u8; 16];

/// A subject taken apart: a complex one into its members, by name; a simple one is a single part without name.
pub struct Parts<'a> {
    /// Empty for a simple subject.
    pub names: Vec<&'a str>,
    values: Vec<&'a Value>,
}

impl<'a> Parts<'a> {
    pub fn of(subject: &'a Value) -> Self {
        let (names, values) = match members(subject) {
            Some(members) => members.into_iter().unzip(),
            None => (Vec::new(), vec![subject]),
        };
        Self { names, values }
    }

    pub fn hashes(&self) -> Vec<Hash> {
        self.values.iter().map(|value| fingerprint(value)).collect()
    }

    /// The names, to be kept.
    pub fn owned_names(&self) -> Vec<String> {
        self.names.iter().map(|name| (*name).to_owned()).collect()
    }

    /// Where each part of a shape with these names is among ours. Nothing when one of the two is simple and the other is not:
    /// they never match (SSF-8.1.3.1-6).
    pub fn places(&self, names: &[String]) -> Option<Vec<Option<usize>>> {
        match (names.is_empty(), self.names.is_empty()) {
            (true, true) => Some(vec![Some(0)]),
            (false, false) => Some(names.iter().map(|name| self.place(name)).collect()),
            _ => None,
        }
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|own| *own == name)
    }
}

/// How one key begins of each subject of this shape that has these parts. `places` says for each part of the shape where it
/// is among the hashes, if anywhere.
pub fn beginning(shape: u16, places: &[Option<usize>], hashes: &[Hash]) -> Vec<u8> {
    let known = places.iter().map(|place| hashes.get((*place)?).copied());
    key(shape, &known.collect::<Vec<_>>(), None)
}

/// The key that stands for a whole subject: the first of [`all`].
pub fn whole(shape: u16, hashes: &[Hash]) -> Vec<u8> {
    key(shape, &known(hashes), None)
}

/// All keys of a subject of this shape.
pub fn all(shape: u16, hashes: &[Hash]) -> Vec<Vec<u8>> {
    let parts = known(hashes);
    let full = mask(&parts);
    let least = (0..=full).filter(|set| chain(*set, parts.len()).0 == *set);
    least.map(|set| key(shape, &parts, Some(set))).collect()
}

fn known(hashes: &[Hash]) -> Vec<Option<Hash>> {
    hashes.iter().copied().map(Some).collect()
}

fn mask(parts: &[Option<Hash>]) -> u8 {
    let known = parts.iter().enumerate().filter(|(_, part)| part.is_some());
    known.fold(0, |mask, (at, _)| mask | bit(at))
}

/// The keys of a shape begin with this.
pub fn of_shape(shape: u16) -> Vec<u8> {
    shape.to_be_bytes().to_vec()
}

/// The known parts in the order of a chain: that of the set `of`, or else of the parts themselves.
fn key(shape: u16, parts: &[Option<Hash>], of: Option<u8>) -> Vec<u8> {
    let (least, order) = chain(of.unwrap_or_else(|| mask(parts)), parts.len());
    let mut key = of_shape(shape);
    key.push(least);
    for part in order.into_iter().filter_map(|at| parts.get(at).copied().flatten()) {
        key.extend(part);
    }
    key
}

/// The chain that a set of parts belongs to: named by its least set, and the order in which it grows to larger ones.
///
/// Read the parts as brackets: one in the set closes the nearest one before it that is not in the set and still open. What
/// is closed stays as it is along the chain; of what remains, those in the set stand before those that are not, and the
/// chain takes them in one by one.
fn chain(mask: u8, parts: usize) -> (u8, Vec<usize>) {
    let (mut least, mut closed) = (0_u8, 0_u8);
    let mut open = Vec::with_capacity(parts);
    for at in 0..parts {
        if mask & bit(at) == 0 {
            open.push(at);
        } else if let Some(before) = open.pop() {
            least |= bit(at);
            closed |= bit(at) | bit(before);
        }
    }
    // First the least set, then what the chain takes in, then what it never has before its end.
    let class = |at| (closed & bit(at) == 0, least & bit(at) != 0);
    let order = [(false, true), (true, false), (false, false)];
    let order = order.map(|wanted| (0..parts).filter(move |at| class(*at) == wanted));
    (least, order.into_iter().flatten().collect())
}

fn bit(at: usize) -> u8 {
    1_u8.checked_shl(at as u32).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashes(parts: usize) -> Vec<Hash> {
        (0..parts).map(|at| [at as u8 + 1; 16]).collect()
    }

    #[test]
    fn every_set_of_parts_is_the_beginning_of_exactly_one_key() {
        for parts in 1..=MAX_PARTS {
            let hashes = hashes(parts);
            let keys = all(7, &hashes);
            assert_eq!(keys[0], whole(7, &hashes));
            for set in 0..1_u32 << parts {
                let places: Vec<_> = (0..parts).map(|at| (set & 1 << at != 0).then_some(at)).collect();
                let beginning = beginning(7, &places, &hashes);
                assert_eq!(beginning.len(), 3 + 16 * set.count_ones() as usize);
                let found = keys.iter().filter(|key| key.starts_with(&beginning)).count();
                assert_eq!(found, 1, "{parts} parts, set {set:b}");
            }
        }
    }

    #[test]
    fn a_subject_has_as_few_keys_as_that_needs() {
        let counts: Vec<_> = (1..=MAX_PARTS).map(|parts| all(0, &hashes(parts)).len()).collect();
        assert_eq!(counts, [1, 2, 3, 6, 10, 20, 35, 70]);
    }
}
