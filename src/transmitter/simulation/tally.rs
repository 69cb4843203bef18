//! What happened in all runs together: a simulation that never gets to where it hurts proves nothing.

/// Counts.
#[derive(Debug, Default, Clone, Copy)]
pub struct Seen {
    pub pushes: u64,
    pub deliveries: u64,
    pub repeats: u64,
    pub deaths: u64,
    pub pauses: u64,
    pub holds: u64,
    pub drops: u64,
    pub refused: u64,
    pub replays: u64,
    pub redriven: u64,
    pub restarts: u64,
    pub faults: u64,
    /// Acknowledged events that a restart sent again.
    pub again: u64,
    pub polls: u64,
}

impl Seen {
    pub fn add(&mut self, other: &Self) {
        let Self {
            pushes,
            deliveries,
            repeats,
            deaths,
            pauses,
            holds,
            drops,
            refused,
            replays,
            redriven,
            restarts,
            faults,
            again,
            polls,
        } = other;
        self.pushes += pushes;
        self.deliveries += deliveries;
        self.repeats += repeats;
        self.deaths += deaths;
        self.pauses += pauses;
        self.holds += holds;
        self.drops += drops;
        self.refused += refused;
        self.replays += replays;
        self.redriven += redriven;
        self.restarts += restarts;
        self.faults += faults;
        self.again += again;
        self.polls += polls;
    }

    /// All of them.
    pub fn least(&self) -> u64 {
        let counts = [
            self.pushes,
            self.deliveries,
            self.repeats,
            self.deaths,
            self.pauses,
            self.holds,
            self.drops,
            self.refused,
            self.replays,
            self.redriven,
            self.restarts,
            self.faults,
            self.again,
            self.polls,
        ];
        counts.into_iter().min().unwrap_or(0)
    }
}
