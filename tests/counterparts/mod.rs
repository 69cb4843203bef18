//! Software of others at the other end of the wire. What runs on node stands beside this, as `*.test.mjs`.

mod authkestra;
mod theirs;
