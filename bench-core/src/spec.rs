//! Specifications: everything that decides what a server or a client does in one trial.
//!
//! The same types are the flags of a runner, the fields of a scenario and part of every record. Whatever stands here
//! is equal for all rows of a comparison.

mod drive;
mod error;
mod feature;
mod flags;
mod full;
mod header;
pub mod limits;
mod load;
mod load_flags;
mod role;
mod serve;
mod socket;
mod step;
mod target;
mod tls;
mod user;
mod validate;
mod work;

pub use drive::{AnyServer, DriveFlags, DriveSpec, Pacing};
pub use error::SpecError;
pub use feature::Feature;
pub use full::WhenFull;
pub use header::{Header, subprotocol};
pub use limits::{MAX_BURN_US, MAX_CONNECTIONS, MAX_IN_FLIGHT_BYTES, MAX_QUEUE, SERVED_CONNECTIONS};
pub use load::Load;
pub use load_flags::LoadFlags;
pub use role::Role;
pub use serve::ServeSpec;
pub use socket::{Flush, SocketSpec};
pub use step::Step;
pub use target::{Scheme, Target};
pub use tls::{ClientTls, Negotiation, ServerName, Trust, server_name};
pub use user::{take_user, without_password};
pub use work::{
    Broadcast, Connect, ConnectPace, Idle, Offer, OneWay, Paced, PingPong, Pushes, Refusals, Schedule,
    StallPlan, Window, Work, Workload,
};

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use clap::{FromArgMatches, Parser};

    use super::*;

    #[derive(Parser)]
    struct Drive {
        #[command(flatten)]
        flags: DriveFlags,
    }

    fn drive<A: Clone + Into<OsString>>(args: &[A]) -> DriveSpec {
        let command = <Drive as clap::CommandFactory>::command();
        let args = args.iter().cloned().map(Into::into);
        let matches = command.try_get_matches_from(std::iter::once("drive".into()).chain(args));
        Drive::from_arg_matches(&matches.unwrap()).unwrap().flags.try_into().unwrap()
    }

    #[test]
    fn flags_and_spec_say_the_same() {
        let spec = drive(
            &"--target 127.0.0.1:9 --workload window --connections 3 --payload 2KiB --kind binary --window 16 \
              --duration 1500ms --warm-up 0ms --messages 77 --flush each --read-buffer 4KiB --threads 2"
                .split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>(),
        );
        assert_eq!(spec.load.payload_bytes, 2048);
        let window = Window { in_flight: 16, messages: Some(77), burn_us: 0 };
        assert_eq!(spec.load.work, Work::Window(window));
        assert_eq!(drive(&spec.to_args()), spec);
        let paced = "--target 127.0.0.1:9 --workload paced --rate 500 --pacing spin";
        let paced = drive(&paced.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!((paced.load.offered(), paced.pacing), (500, Pacing::Spin));
        assert_eq!(drive(&paced.to_args()), paced);
        let steps = "--target 127.0.0.1:9 --workload paced --steps 50%:3s,150%:10s --slice 250ms --burn 20us";
        let steps = drive(&steps.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!((steps.load.window_ms(), steps.load.steps()[1].percent_of_capacity), (13_000, 150));
        assert_eq!(drive(&steps.to_args()), steps);
        assert!(steps.validate().is_ok());
        let connects =
            "--target 127.0.0.1:9 --workload connect --rate 50 --exchanges 3 --count-refusals --delay 20ms";
        let connects = drive(&connects.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(drive(&connects.to_args()), connects);
        for others in [
            "--workload idle --touch",
            "--workload push --timers 7 --every 250us --schedule staggered --messages 5",
            "--workload broadcast --rate 5 --queue 3 --when-full drop --stall-percent 10 --stall-after 1s --stall-for 2s",
            "--tls --tls-cert /some/where.pem --send-buffer 64KiB",
            "--connecting 64 --answer-timeout 5s --skip 1 --connect-rate 100",
            "--header X-Token:a --header Host:other --subprotocol v2 --subprotocol v1",
            "--tls --tls-insecure --tls-negotiate usual",
            "--tls --tls-cert some.pem --tls-server-name ::1",
        ] {
            let others = drive(
                &format!("--target 127.0.0.1:9 {others}")
                    .split_whitespace()
                    .map(str::to_owned)
                    .collect::<Vec<_>>(),
            );
            assert_eq!(drive(&others.to_args()), others);
        }
        let defaults = drive(&["--target".to_owned(), "[::1]:1".to_owned()]);
        assert_eq!(defaults.load, Load::default());
        // What an older runner does not know is not said where it is not needed.
        for flag in [
            "steps",
            "delay",
            "slice",
            "burn",
            "exchanges",
            "count-refusals",
            "touch",
            "timers",
            "tls",
            "queue",
            "connecting",
            "answer-timeout",
            "connect-rate",
            "header",
            "subprotocol",
            "tls-cert",
            "tls-insecure",
            "tls-server-name",
            "tls-negotiate",
        ] {
            assert!(!defaults.to_args().contains(&format!("--{flag}").into()), "{flag}");
        }
        assert_eq!(defaults.socket, SocketSpec::default());
    }

    /// Why flags are refused, whether by the fields of their workload or by a range.
    fn refusal(change: impl FnOnce(&mut LoadFlags)) -> String {
        let mut flags = LoadFlags::default();
        change(&mut flags);
        let load = Load::try_from(flags);
        load.and_then(|load| load.validate(&SocketSpec::default())).unwrap_err().to_string()
    }

    #[test]
    fn absurd_loads_are_refused_with_range_and_reason() {
        assert!(refusal(|load| load.connections = 0).contains("1 to 28000"));
        assert!(refusal(|load| load.payload_bytes = 4).contains("8 to"));
        assert!(refusal(|load| load.payload_bytes = 17 << 20).contains("limit of 16777216 B"));
        assert!(refusal(|load| load.duration_ms = 0).contains("1 to 3600000 ms"));
        assert!(refusal(|load| load.messages = Some(0)).contains("messages: 0"));
        let window = |window, payload| {
            refusal(|load| {
                (load.workload, load.window, load.payload_bytes) = (Workload::Window, window, payload);
            })
        };
        assert!(window(0, 24).contains("window: 0"));
        assert!(window(16, 1 << 20).contains("blocks both ends"));
        assert!(refusal(|load| load.window = 2).contains("belong to `window`"));
        assert!(refusal(|load| load.workload = Workload::Paced).contains("needs a rate"));
        assert!(refusal(|load| load.rate_per_s = Some(5)).contains("belong to `paced`"));
        let rate = |rate| {
            refusal(|load| {
                (load.workload, load.rate_per_s, load.duration_ms) = (Workload::Paced, Some(rate), 100);
            })
        };
        assert!(rate(0).contains("rate: 0") && rate(9).contains("no message at all"));
        let still = refusal(|load| (load.workload, load.duration_ms) = (Workload::Idle, 600_000));
        assert!(still.contains("still for 600000 ms") && still.contains("--idle-timeout"));
    }

    #[test]
    fn fields_belong_to_their_workloads() {
        let of = |workload, change: fn(&mut LoadFlags)| {
            refusal(|load| {
                load.workload = workload;
                change(load);
            })
        };
        use Workload::{Connect, Idle, Paced, PingPong, Push};
        assert!(of(PingPong, |load| load.exchanges = 1).contains("belong to `connect`"));
        assert!(of(PingPong, |load| load.touch = true).contains("belong to `idle`"));
        assert!(of(PingPong, |load| load.every_us = 5).contains("belong to `push`"));
        assert!(of(Idle, |load| load.timers = 2).contains("belong to `push`"));
        assert!(of(Idle, |load| load.messages = Some(2)).contains("messages mean nothing"));
        assert!(of(Push, |load| load.delay_ms = 1).contains("delays mean nothing"));
        assert!(of(Connect, |load| load.burn_us = 1).contains("burning handlers"));
        assert!(of(PingPong, |load| load.slice_ms = 1).contains("slices: 1000"));
        assert!(of(Push, |load| load.stall_percent = 5).contains("belong to `paced`, `broadcast`"));
        assert!(of(PingPong, |load| load.when_full = WhenFull::Drop).contains("belong to `broadcast`"));
        assert!(of(Workload::Broadcast, |load| load.payload_bytes = 24).contains("needs a rate"));
        let broadcast = |change: fn(&mut LoadFlags)| {
            refusal(|load| {
                (load.workload, load.rate_per_s) = (Workload::Broadcast, Some(10));
                change(load);
            })
        };
        assert!(broadcast(|load| load.payload_bytes = 20).contains("24 to"));
        assert!(broadcast(|load| load.queue = 0).contains("queue: 0"));
        assert!(broadcast(|load| load.stall_percent = 101).contains("101 %"));
        assert!(broadcast(|load| load.stall_for_ms = 1).contains("need --stall-percent"));
        let steps = |load: &mut LoadFlags| {
            load.workload = Paced;
            load.steps = vec![Step { percent_of_capacity: 50, duration_ms: 100 }];
        };
        let mut sound = LoadFlags::default();
        steps(&mut sound);
        assert_eq!(Load::try_from(sound).unwrap().validate(&SocketSpec::default()), Ok(()));
        let without_warm_up = refusal(|load| {
            steps(load);
            load.warm_up_ms = 0;
        });
        assert!(without_warm_up.contains("a warm-up is needed"));
        let with_rate = refusal(|load| {
            steps(load);
            load.rate_per_s = Some(5);
        });
        assert!(with_rate.contains("either --rate or --steps"));
        assert!(Step::parse("0%:1s").unwrap_err().to_string().contains("share of the capacity: 0"));
        for wrong in ["50:1s", "50%", "x%:1s", "50%:1"] {
            assert!(Step::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_load_is_flat_as_json_and_comes_back_whole() {
        let stall = Some(StallPlan { percent: 10, after_ms: 1, for_ms: 2 });
        let steps = vec![Step { percent_of_capacity: 50, duration_ms: 100 }];
        let rate = ConnectPace::Rate(7);
        let works = [
            Work::Connect(Connect { pace: rate, exchanges: 3, refusals: Refusals::Count }),
            Work::PingPong(PingPong { messages: Some(4), burn_us: 5 }),
            Work::Window(Window::of(64)),
            Work::OneWay(OneWay::default()),
            Work::Push(Pushes { timers: 3, ..Pushes::default() }),
            Work::Idle(Idle { touch: true }),
            Work::Paced(Paced { offer: Offer::Steps(steps), burn_us: 1, stall }),
            Work::Broadcast(Broadcast { stall, ..Broadcast::at(9) }),
        ];
        for work in works {
            let load = Load { work, ..Load::default() };
            let json = serde_json::to_value(&load).unwrap();
            assert_eq!(json["workload"], load.workload().name());
            assert_eq!(serde_json::from_value::<Load>(json).unwrap(), load);
        }
        let window = serde_json::json!({ "workload": "ping-pong", "window": 2 });
        assert!(serde_json::from_value::<Load>(window).unwrap_err().to_string().contains("`window`"));
    }

    #[test]
    fn features_that_this_version_does_not_know_are_passed_over() {
        let info = crate::RowInfo::new("runtime", "1");
        let mut json = serde_json::to_value(&info).unwrap();
        json["features"] = serde_json::json!(["tls", "teleport", "connect-rate"]);
        let info: crate::RowInfo = serde_json::from_value(json).unwrap();
        assert_eq!(info.features, [Feature::Tls, Feature::ConnectRate]);
    }

    #[test]
    fn stalled_connections_are_spread_evenly() {
        let stalled = |connections: u32, percent: u64| {
            let plan = StallPlan { percent, after_ms: 0, for_ms: 0 };
            (0..connections).filter(|connection| plan.stalls(*connection)).collect::<Vec<_>>()
        };
        assert_eq!(stalled(100, 1), [99]);
        assert_eq!(stalled(10, 20), [4, 9]);
        assert_eq!(stalled(100, 50).len(), 50);
    }

    #[test]
    fn a_user_leaves_the_target_for_a_header() {
        let spec = drive(&["--target", "ws://me:secret@127.0.0.1:9/"]);
        assert_eq!(spec.target, "ws://127.0.0.1:9/");
        assert_eq!(spec.headers[0].to_string(), "Authorization: Basic bWU6c2VjcmV0");
        assert!(spec.validate().is_ok() && !format!("{spec:?}").contains("bWU6"));
        let twice = drive(&["--target", "me:x@127.0.0.1:9", "--header", "Authorization: y"]);
        assert!(twice.validate().unwrap_err().to_string().contains("a user in the URL"));
    }

    #[test]
    fn a_client_says_what_its_row_has_to_offer() {
        let needs = |flags: &str| {
            let flags: Vec<&str> = flags.split_whitespace().collect();
            drive(&[&["--target", "127.0.0.1:9"], flags.as_slice()].concat())
                .needs()
                .into_iter()
                .collect::<Vec<_>>()
        };
        assert_eq!(needs("--tls --tls-cert x"), [Feature::Tls]);
        assert_eq!(needs("--tls --tls-cert x --tls-negotiate usual"), [Feature::Handshake, Feature::Tls]);
        assert_eq!(needs("--tls --tls-insecure"), [Feature::Handshake, Feature::Tls]);
        assert_eq!(needs("--header A:b"), [Feature::Handshake]);
        assert_eq!(needs("--subprotocol a"), [Feature::Handshake]);
        assert_eq!(needs("--connecting 1 --answer-timeout 1s"), [Feature::AnyServer]);
        assert_eq!(needs("--workload idle --touch"), [Feature::Touch]);
    }

    #[cfg(unix)]
    #[test]
    fn paths_that_are_not_utf_8_stay_as_they_are() {
        use std::os::unix::ffi::OsStringExt;

        let path = std::path::PathBuf::from(OsString::from_vec(b"t\xff/c.pem".to_vec()));
        let socket = SocketSpec { tls: true, ..SocketSpec::default() };
        let client = DriveSpec {
            tls: Some(ClientTls::of_trial(&path)),
            ..DriveSpec::plain("127.0.0.1:9", Load::default(), socket.clone())
        };
        assert_eq!(drive(&client.to_args()), client);
        let server = ServeSpec {
            tls_cert: Some(path.clone()),
            tls_key: Some(path.clone()),
            ..ServeSpec::on_loopback(1, socket)
        };
        assert_eq!(server.to_args().iter().filter(|arg| **arg == path).count(), 2);
    }

    #[test]
    fn tls_needs_its_certificate() {
        let with = |flags: &str| {
            let args = format!("--target {flags}");
            drive(&args.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
                .validate()
                .map_err(|error| error.to_string())
        };
        assert!(with("127.0.0.1:9 --tls").unwrap_err().contains("--tls-cert"));
        assert_eq!(with("127.0.0.1:9 --tls --tls-cert x"), Ok(()));
        assert_eq!(with("wss://127.0.0.1:9/ --tls --tls-cert x"), Ok(()));
        assert!(with("wss://127.0.0.1:9/").unwrap_err().contains("give --tls"));
        assert!(with("ws://127.0.0.1:9/ --tls --tls-cert x").unwrap_err().contains("without TLS"));
    }

    #[test]
    fn targets() {
        let plain = Target::parse("127.0.0.1:80").unwrap();
        assert_eq!(plain.url("/echo", false), "ws://127.0.0.1:80/echo");
        assert_eq!(plain.url("/echo", true), "wss://127.0.0.1:80/echo");
        let other = Target::parse("ws://127.0.0.1:9001/chat?x=1").unwrap();
        assert_eq!(other.url("/echo", false), "ws://127.0.0.1:9001/chat?x=1");
        assert_eq!(other.url("/sink?messages=2", false), "ws://127.0.0.1:9001/sink?messages=2");
        assert_eq!(Target::parse("ws://127.0.0.1").unwrap().addrs[0].port(), 80);
        assert!(Target::parse("127.0.0.1").is_err());
        let secured = Target::parse("wss://127.0.0.1/chat").unwrap();
        assert_eq!((secured.addrs[0].port(), secured.scheme), (443, Some(Scheme::Wss)));
    }
}
