//! The stored form of accepted events: many to a row, because a written row is what this platform charges for.
//!
//! A chunk begins with its format version; each record is a fixed head (the event's `jti`, a hash of its content, its lane)
//! and its claims in final shape, preceded by their length. The claims bytes are what is signed, on every attempt.

use std::ops::Range;

use super::sql::SqlError;

/// Written into the first byte; an unknown one is refused rather than guessed at.
const FORMAT: u8 = 1;

/// Longest chunk row. Rows may be 2 MB on the platform; smaller ones keep a look-ahead cheap to load.
pub const MAX_CHUNK_BYTES: usize = 256 * 1024;

/// Bytes that are kept of an event beside its claims.
pub const HEAD: usize = 16 + 8 + 8 + 4;

/// The 128 bits behind a `jti`.
pub type Jti = [u8; 16];
/// A hash of what the publisher sent, to tell a harmless retry from another event under the same id.
pub type Content = [u8; 8];
/// A hash of the subject: events of one lane go out one after the other.
pub type Lane = [u8; 8];

/// An event ready to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewItem {
    pub jti: Jti,
    pub content: Content,
    pub lane: Lane,
    pub claims: Vec<u8>,
}

/// One event inside a chunk body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub jti: Jti,
    pub content: Content,
    pub lane: Lane,
    /// Where the claims lie in the body.
    pub claims: Range<usize>,
}

/// Packs items into as few chunk bodies as the size bound allows, in order. A single item over the bound gets a chunk alone.
pub fn pack<'a>(items: impl IntoIterator<Item = &'a NewItem>) -> Vec<(u32, Vec<u8>)> {
    let mut chunks: Vec<(u32, Vec<u8>)> = Vec::new();
    for item in items {
        let size = HEAD + item.claims.len();
        let fits = chunks
            .last()
            .is_some_and(|(_, body)| body.len() + size <= MAX_CHUNK_BYTES);
        if !fits {
            chunks.push((0, vec![FORMAT]));
        }
        if let Some((count, body)) = chunks.last_mut() {
            *count += 1;
            body.extend_from_slice(&item.jti);
            body.extend_from_slice(&item.content);
            body.extend_from_slice(&item.lane);
            // Claims come from a bounded request body, far below 4 GiB.
            let length = u32::try_from(item.claims.len()).unwrap_or(u32::MAX);
            body.extend_from_slice(&length.to_le_bytes());
            body.extend_from_slice(&item.claims);
        }
    }
    chunks
}

/// The same chunk without any claims: what is left is enough to recognise the ids.
pub fn stripped(body: &[u8]) -> Result<Vec<u8>, SqlError> {
    let mut left = vec![FORMAT];
    for record in unpack(body)? {
        left.extend_from_slice(&record.jti);
        left.extend_from_slice(&record.content);
        left.extend_from_slice(&record.lane);
        left.extend_from_slice(&[0; 4]);
    }
    Ok(left)
}

/// Reads a chunk body back.
pub fn unpack(body: &[u8]) -> Result<Vec<Record>, SqlError> {
    let mut reader = Reader { body, at: 0 };
    let [format] = reader.take::<1>()?;
    if format != FORMAT {
        return Err(SqlError::corrupt("chunk", format!("format {format}")));
    }
    let mut records = Vec::new();
    while reader.at < body.len() {
        let jti = reader.take()?;
        let content = reader.take()?;
        let lane = reader.take()?;
        let length = u32::from_le_bytes(reader.take()?) as usize;
        let start = reader.at;
        let end = start
            .checked_add(length)
            .filter(|end| *end <= body.len())
            .ok_or_else(|| SqlError::corrupt("chunk", "it ends inside a record"))?;
        reader.at = end;
        records.push(Record {
            jti,
            content,
            lane,
            claims: start..end,
        });
    }
    Ok(records)
}

struct Reader<'a> {
    body: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], SqlError> {
        let end = self.at.saturating_add(N);
        let bytes = self
            .body
            .get(self.at..end)
            .and_then(|bytes| <[u8; N]>::try_from(bytes).ok())
            .ok_or_else(|| SqlError::corrupt("chunk", "it ends inside a record"))?;
        self.at = end;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(n: u8, size: usize) -> NewItem {
        NewItem {
            jti: [n; 16],
            content: [n; 8],
            lane: [n % 3; 8],
            claims: vec![n; size],
        }
    }

    #[test]
    fn what_was_packed_is_unpacked() {
        let items = [item(1, 0), item(2, 10), item(3, 1000)];
        let chunks = pack(&items);
        assert_eq!(chunks.len(), 1);
        let (count, body) = &chunks[0];
        assert_eq!(*count, 3);
        for (record, item) in unpack(body).unwrap().iter().zip(&items) {
            assert_eq!(record.jti, item.jti);
            assert_eq!(record.content, item.content);
            assert_eq!(record.lane, item.lane);
            assert_eq!(&body[record.claims.clone()], item.claims);
        }
    }

    #[test]
    fn a_stripped_chunk_keeps_the_ids_and_nothing_of_the_events() {
        let (_, body) = pack(&[item(1, 10), item(2, 1000)]).remove(0);
        let left = stripped(&body).unwrap();
        assert_eq!(left.len(), 1 + 2 * HEAD);
        let ids = |body: &[u8]| -> Vec<_> {
            let records = unpack(body).unwrap();
            records
                .iter()
                .map(|record| (record.jti, record.content, record.lane))
                .collect()
        };
        assert_eq!(ids(&left), ids(&body));
        assert!(unpack(&left).unwrap().iter().all(|record| record.claims.is_empty()));
        assert_eq!(stripped(&left).unwrap(), left);
    }

    #[test]
    fn a_batch_is_split_below_the_row_bound_and_a_giant_gets_its_own_chunk() {
        let items = [item(1, 200_000), item(2, 100_000), item(3, 400_000), item(4, 5)];
        let chunks = pack(&items);
        assert_eq!(chunks.iter().map(|(n, _)| *n).collect::<Vec<_>>(), [1, 1, 1, 1]);
        assert!(chunks[1].1.len() <= MAX_CHUNK_BYTES);
    }

    #[test]
    fn a_damaged_chunk_is_reported_not_trusted() {
        let (_, body) = pack(&[item(1, 10)]).remove(0);
        for cut in 0..body.len() {
            let result = unpack(&body[..cut]);
            assert!(result.is_err() || cut == 1, "cut at {cut}");
        }
        let mut other = body;
        other[0] = 9;
        assert!(unpack(&other).is_err());
    }
}
