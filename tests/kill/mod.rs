//! Killed with SIGKILL at a bad moment: what was promised before holds after the restart.

mod delivery;
mod managed;
mod receiving;
mod soak;
mod standing;
mod time;
