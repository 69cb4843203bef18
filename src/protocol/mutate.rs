//! Test help: many near misses of a good input, the same ones on every run, for properties that hold for any text.

/// `count` variants of the seeds: bytes replaced, removed, inserted or doubled, up to four times over.
pub fn variants(seeds: &[&str], count: usize) -> impl Iterator<Item = Vec<u8>> {
    let seeds: Vec<Vec<u8>> = seeds.iter().map(|seed| seed.as_bytes().to_vec()).collect();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below.max(1) as u64) as usize
    };
    const INTERESTING: &[u8] = b"\0\t\n\r \"#%&'()+,-./019:;=?@AZ[\\]_az{|}~\x7f\x80\xc3\xff";
    (0..count).map(move |_| {
        let mut text = seeds[draw(seeds.len())].clone();
        for _ in 0..=draw(4) {
            let at = draw(text.len() + 1);
            let byte = INTERESTING[draw(INTERESTING.len())];
            match draw(4) {
                0 if at < text.len() => text[at] = byte,
                1 if at < text.len() => {
                    text.remove(at);
                }
                2 => text.insert(at, byte),
                _ => {
                    let end = (at + draw(8)).min(text.len());
                    let piece = text[at..end].to_vec();
                    text.splice(at..at, piece);
                }
            }
        }
        text
    })
}
