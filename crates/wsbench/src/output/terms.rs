//! The words of wsbench, each explained in plain words: for `wsbench help TERM` and for the report.

use crate::exit::{Stop, unknown};

/// A word and what it means.
#[derive(Clone, Copy, Debug)]
pub struct Term {
    /// The word.
    pub word: &'static str,
    /// Other ways to ask for it.
    pub also: &'static [&'static str],
    /// What it means.
    pub meaning: &'static str,
}

impl Term {
    /// The word as a name in links.
    pub fn id(&self) -> String {
        crate::output::text::id_of(&self.word.to_lowercase())
    }
}

/// All of them, in the order in which one builds on the other.
pub const TERMS: &[Term] = &[
    Term {
        word: "row",
        also: &["rows"],
        meaning: "One runtime in one configuration that can be measured, such as tokio on one thread. `wsbench list` shows all.",
    },
    Term {
        word: "scenario",
        also: &["workload", "profile"],
        meaning: "What the client does, with all its parameters, under a name. A profile is a list of scenarios with a number \
                  of rounds.",
    },
    Term {
        word: "trial",
        also: &["record"],
        meaning: "One scenario, one server, one client, once, each in a fresh process. It gives one record. Its answers are \
                  checked and its messages counted at both ends; where the counts differ, the trial has failed.",
    },
    Term {
        word: "block",
        also: &["round", "rounds"],
        meaning: "One scenario with all its rows, one right after the other in shuffled order. A round is one block of every \
                  scenario. Rows are compared inside a block only, where the machine has had the least time to change.",
    },
    Term {
        word: "closed",
        also: &["closed loop", "closed-loop"],
        meaning: "A load in which the next message waits for the echo of the one before. It shows how fast the loop turns. A \
                  slow server is asked less, so that its stalls hardly show in the latency.",
    },
    Term {
        word: "paced",
        also: &["open loop", "coordinated omission", "rate"],
        meaning: "A load in which each message has an instant at which it is to be sent, whatever the answers do. Latency \
                  counts from that instant, so that a stall is charged to every message that it delayed.",
    },
    Term {
        word: "window",
        also: &["in flight"],
        meaning: "How many messages a connection has in flight: sent, and not echoed yet.",
    },
    Term {
        word: "percentile",
        also: &["p50", "p99", "p99.9", "tail"],
        meaning: "p99 is the value that 99 of 100 messages stay under. A percentile is shown only where at least ten samples \
                  lie beyond it.",
    },
    Term {
        word: "server CPU",
        also: &["cpu", "cost"],
        meaning: "CPU time that the server's process took for one message, in the kernel and outside of it. In a closed loop \
                  both ends are saturated and rates are squeezed together, so this is what ranks the rows there.",
    },
    Term {
        word: "CPU relative to client",
        also: &["relative", "relative to client"],
        meaning: "The server's CPU time over its client's in the same trial. What slows down both ends goes out, so that it is \
                  several times sharper than the server's own cost. It is another claim: a server can make its client dearer, \
                  and such a row looks better by it.",
    },
    Term {
        word: "judged by",
        also: &["metrics", "ranked by"],
        meaning: "The metrics by which the rows of a scenario get verdicts, all at one shared level. The first one ranks them.",
    },
    Term {
        word: "baseline",
        also: &["against"],
        meaning: "The row that the others are compared with: tokio, unless another one is chosen.",
    },
    Term {
        word: "A/A floor",
        also: &["aa", "floor", "twin", "noise"],
        meaning: "In every block the baseline is measured a second time, as its own twin. How far the two were found to \
                  differ is the floor: the middle of their interval, and at least 0.1 %. A difference within it is a tie.",
    },
    Term {
        word: "interval",
        also: &["confidence"],
        meaning: "Where the true ratio lies with the stated confidence, by an exact test that assumes no shape for the \
                  noise. For verdicts it is wide enough for all rows and metrics of the scenario at \
                  once.",
    },
    Term {
        word: "verdict",
        also: &["faster", "slower", "less", "more", "rank"],
        meaning: "Faster or slower (of memory: less or more) where the whole interval of the ratio lies beyond the A/A floor. A \
                  rank is 1 + the number of rows that are better in this sense; ranks of rows that tie with each other may \
                  differ.",
    },
    Term {
        word: "tie",
        also: &["="],
        meaning: "No difference was shown. That is not the same as no difference: more rounds may show one.",
    },
    Term {
        word: "no verdict",
        also: &["too few"],
        meaning: "Too few rounds count for the level that the verdict asks for, or the scenario is not judged by the \
                  metric. The medians stand, and nothing is claimed of them.",
    },
    Term {
        word: "mark",
        also: &[
            "!",
            "marks",
            "client-saturated",
            "generator-late",
            "server-saturated",
            "disturbed",
            "cores-shared",
            "siblings",
            "throttled",
            "connections-failed",
            "interrupted",
        ],
        meaning: "Something other than the row decided some of a trial's figures: the client was full (c), the generator sent \
                  late (g), others used the cores (d), there were too few cores (x), two cores were threads of one physical core (h), or a \
                  CPU quota stopped the trial (q). `wsbench drive` also marks that connections failed (f) and that it was \
                  interrupted (i). The figures stay and get no verdict. That the \
                  server did not keep up with the offered rate (s) is a result. Where the client was full, the server's \
                  CPU time holds its waiting, too, so that rows may look more alike than they are; --placement shared is \
                  free of that.",
    },
    Term {
        word: "knee",
        also: &["curve", "slo", "objective", "highest rate"],
        meaning: "On a curve of latency against offered load, the point from which on latency rises steeply. Beside it stands \
                  the highest rate that still holds a latency objective. Beside that rate, ≥ says that no measured one failed because \
                  of the row: none at all, or at the next one the client sent late (generator) or was the limit (client).",
    },
    Term {
        word: "placement",
        also: &["split", "shared", "cores"],
        meaning: "Where the two processes run: each on a core of its own (split), or both on one (shared).",
    },
    Term {
        word: "flush",
        also: &["before-wait", "each"],
        meaning: "When written messages go to the kernel: all together before the next wait (before-wait), or one by one \
                  (each). With many in flight this matters more than the runtime.",
    },
    Term {
        word: "lag",
        also: &["push", "timer", "punctual"],
        meaning: "How late a pushed message arrives after the instant at which it was due: the runtime's timer, and the time \
                  that sending to the connections before it takes.",
    },
    Term {
        word: "system call",
        also: &["syscall", "epoll", "io_uring", "why"],
        meaning: "What a message asks of the kernel. A run with --counts records it, and scripts/syscalls-per-message counts it by name. On \
                  readiness (epoll), a busy server needs at least a read and a write a message. Runtimes that ask for one \
                  event at a time, as smol and async-std do, ask the kernel again for every wait. tokio's timers turn once \
                  a millisecond, those of the other two do not. docs/METHODOLOGY.md has the counts.",
    },
];

/// The explanation of a term.
///
/// # Errors
/// When there is no such term, with the nearest one.
pub fn explain(words: &[String]) -> Result<String, Stop> {
    let asked = words.join(" ");
    let is_meant = |term: &&Term| {
        let mut names = std::iter::once(&term.word).chain(term.also);
        names.any(|name| name.eq_ignore_ascii_case(&asked))
    };
    match TERMS.iter().find(is_meant) {
        Some(term) => Ok(format!("{}: {}\n", term.word, term.meaning)),
        None => Err(unknown("term", &asked, &TERMS.iter().map(|term| term.word).collect::<Vec<_>>())),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_name_means_one_term() {
        let names: Vec<String> = TERMS
            .iter()
            .flat_map(|term| std::iter::once(&term.word).chain(term.also))
            .map(|name| name.to_lowercase())
            .collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{names:?}");
        assert!(explain(&["a/a".to_owned(), "FLOOR".to_owned()]).unwrap().starts_with("A/A floor: "));
        assert!(explain(&["pased".to_owned()]).unwrap_err().message.contains("`paced`"));
    }
}
