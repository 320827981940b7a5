//! Three clocks against each other: whether the machine was suspended, or its time set, between two instants.

/// A step of a clock against another that is no slewing, in nanoseconds.
const STEP_NS: u64 = 10_000_000;

/// The three clocks at one instant, each in nanoseconds since an origin of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readings {
    /// CLOCK_MONOTONIC: stands still while the machine is suspended.
    pub monotonic_ns: u64,
    /// CLOCK_BOOTTIME: keeps counting meanwhile.
    pub boot_ns: u64,
    /// CLOCK_REALTIME: keeps counting meanwhile and can be set.
    pub wall_ns: u64,
}

/// How far two clocks are ahead of the monotonic one, in nanoseconds: what records keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ahead {
    /// CLOCK_BOOTTIME.
    pub boot_ns: u64,
    /// CLOCK_REALTIME.
    pub wall_ns: u64,
}

/// What happened between two readings that no window of time may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The machine was suspended for so long.
    Suspended {
        /// Length in nanoseconds.
        ns: u64,
    },
    /// The wall clock was set, forwards or backwards.
    Set {
        /// By how much, in nanoseconds; negative is backwards.
        ns: i128,
    },
}

impl Readings {
    /// Reads the clocks; all 0 where the system does not have them.
    pub fn now() -> Readings {
        #[cfg(target_os = "linux")]
        {
            use nix::time::{ClockId, clock_gettime};

            let read = |clock| {
                clock_gettime(clock)
                    .map_or(0, |now| now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64)
            };
            Readings {
                monotonic_ns: read(ClockId::CLOCK_MONOTONIC),
                boot_ns: read(ClockId::CLOCK_BOOTTIME),
                wall_ns: read(ClockId::CLOCK_REALTIME),
            }
        }
        #[cfg(not(target_os = "linux"))]
        Readings::default()
    }

    /// What records keep of them.
    pub fn ahead(self) -> Ahead {
        Ahead {
            boot_ns: self.boot_ns.saturating_sub(self.monotonic_ns),
            wall_ns: self.wall_ns.saturating_sub(self.monotonic_ns),
        }
    }
}

/// The step between two readings, if there was one. A suspension moves the wall clock as well, and comes first.
pub fn step(before: Ahead, after: Ahead) -> Option<Step> {
    let suspended_ns = before.boot_ns.abs_diff(after.boot_ns);
    if suspended_ns > STEP_NS {
        return Some(Step::Suspended { ns: suspended_ns });
    }
    let set_ns = i128::from(after.wall_ns) - i128::from(before.wall_ns);
    (set_ns.unsigned_abs() > u128::from(STEP_NS)).then_some(Step::Set { ns: set_ns })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// A machine that started an hour ago, in 2026.
    const START: Readings =
        Readings { monotonic_ns: 3_600 * SECOND, boot_ns: 3_600 * SECOND, wall_ns: 1_790_000_000 * SECOND };

    /// The step when the clocks go on by so much.
    fn after(monotonic_ns: u64, boot_ns: u64, wall_ns: i64) -> Option<Step> {
        let end = Readings {
            monotonic_ns: START.monotonic_ns + monotonic_ns,
            boot_ns: START.boot_ns + boot_ns,
            wall_ns: START.wall_ns.saturating_add_signed(wall_ns),
        };
        step(START.ahead(), end.ahead())
    }

    #[test]
    fn a_quiet_second_and_a_slewed_clock_are_no_step() {
        assert_eq!(after(SECOND, SECOND, SECOND as i64), None);
        // 500 ppm over ten seconds, and the readings a microsecond apart.
        assert_eq!(after(10 * SECOND, 10 * SECOND + 1_000, 10 * SECOND as i64 + 5_000_000), None);
        assert_eq!(after(SECOND, SECOND, SECOND as i64 + STEP_NS as i64), None, "the bound itself");
    }

    #[test]
    fn a_suspension_is_told_from_a_set_clock() {
        let hour = 3_600 * SECOND;
        assert_eq!(after(SECOND, SECOND + hour, (SECOND + hour) as i64), Some(Step::Suspended { ns: hour }));
        assert_eq!(after(SECOND, SECOND, (SECOND + hour) as i64), Some(Step::Set { ns: hour.into() }));
        assert_eq!(after(SECOND, SECOND, -(SECOND as i64)), Some(Step::Set { ns: -2 * i128::from(SECOND) }));
    }

    #[test]
    fn clocks_that_make_no_sense_do_no_harm() {
        let behind = Readings { monotonic_ns: u64::MAX, boot_ns: 0, wall_ns: 0 };
        assert_eq!(behind.ahead(), Ahead::default(), "a wall clock before the machine's start");
        let far = Ahead { boot_ns: 0, wall_ns: u64::MAX };
        assert_eq!(step(Ahead::default(), far), Some(Step::Set { ns: u64::MAX.into() }));
        assert_eq!(step(far, Ahead::default()), Some(Step::Set { ns: -i128::from(u64::MAX) }));
        assert!(matches!(step(Ahead { boot_ns: u64::MAX, wall_ns: 0 }, far), Some(Step::Suspended { .. })));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machines_clocks_are_in_order() {
        let now = Readings::now();
        assert!(now.monotonic_ns > 0 && now.boot_ns + 1_000_000 >= now.monotonic_ns, "{now:?}");
    }
}
