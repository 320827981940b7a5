//! Which metrics a scenario is about.

use bench_core::spec::{Role, Work, Workload};

use super::{
    ACHIEVED, BESIDE_RATE, CAPACITY, CLIENT_CPU, CLIENT_CPU_RELATIVE, CONNECT_TO_FIRST_PUSH_P50, DELIVERED,
    DISCONNECTED, DROPPED, FIRST_DELIVERY_P50, FIRST_PUSH_P50, GENERATOR_LAG_P99, HANDSHAKE_P50,
    HANDSHAKE_P99, HANDSHAKE_RATE, JAIN, LAG_DRIFT, LAG_MAX, LAG_P50, LAG_P99, LAST_DELIVERY_P50,
    LAST_DELIVERY_P99, LEAST_SHARE, MACHINE_CPU, MACHINE_MEMORY, MAX, MEDIAN_DELIVERY_P50, MEMORY_BOUND,
    MEMORY_OF_BOUND, Metric, NOT_SENT, OVERLOAD_KEPT, OVERLOAD_OFFERED, P50, P50_REST, P50_START, P99, P99_9,
    P99_9_DURING, P99_AFTER, P99_BEFORE, P99_DURING, P99_REST, P99_START, RATE, RATE_PER_CORE, RECOVERY,
    REFUSED, SEND_RATE, SERVER_CPU, SERVER_CPU_PER_BYTE, SERVER_CPU_RELATIVE, SERVER_CPU_SHARE,
    SERVER_FILES_GROWTH, SERVER_RSS, SERVER_RSS_GROWTH, SERVER_RSS_PEAK, SERVER_SWITCHES_PER_BURST,
    SERVER_THREADS, SETTLED, TCP_CONNECT_P50, THROUGHPUT, TIMED_OUT, TOTAL_TIME, UPGRADE_P50, by_name,
};
use crate::{catalogue::Scenario, placement::Placement};

/// The metric that ranks the rows of a scenario: the first of those by which they are judged.
pub fn ranking(scenario: &Scenario, role: Role) -> Metric {
    judged(scenario, role)[0]
}

/// The metrics by which the rows of a scenario are judged, the most important first: its own, or those of its workload.
///
/// A metric is judged where placement and load make it mean something about the compared end. In a closed loop on two
/// cores the slower end sets the rate, and that is as often the client. Where both ends share a core, the rate and the
/// latency are what both take together, and the other end is the same for all rows. There the cost relative to the other
/// end's is judged as well: nobody polls while it waits, so that both costs are to scale.
pub fn judged(scenario: &Scenario, role: Role) -> Vec<Metric> {
    let own: Vec<Metric> = scenario.judged_by.iter().filter_map(|name| by_name(name)).collect();
    if !own.is_empty() {
        return own;
    }
    let load = &scenario.load;
    let is_shared = scenario.placement == Placement::Shared;
    let (cpu, relative) = role.own((SERVER_CPU, SERVER_CPU_RELATIVE), (CLIENT_CPU, CLIENT_CPU_RELATIVE));
    let mut judged = match load.workload() {
        Workload::Push => vec![LAG_P99],
        // What a server uses is for both loads.
        Workload::Paced | Workload::Broadcast if scenario.beside.is_some() => vec![P99],
        Workload::Paced | Workload::Broadcast => vec![P99, cpu],
        Workload::Idle => vec![SERVER_RSS],
        Workload::PingPong if is_shared && load.connections == 1 => vec![cpu, P50, P99],
        Workload::Window if is_shared => vec![cpu, RATE],
        Workload::Connect if is_shared && !load.is_paced() => vec![cpu, CONNECT_TO_FIRST_PUSH_P50],
        Workload::PingPong | Workload::Window | Workload::OneWay | Workload::Connect => vec![cpu],
    };
    if is_shared && judged.contains(&cpu) && load.workload().is_closed_loop() {
        judged.push(relative);
    }
    judged
}

/// The columns that a table shows for a scenario, after the ranking metric: the others that are judged, and those of its
/// workload. Those that a scenario adds stand for what it
/// alone shows.
pub fn columns(scenario: &Scenario, role: Role) -> Vec<Metric> {
    let load = &scenario.load;
    let (own_cpu, other_cpu) = (role.own(SERVER_CPU, CLIENT_CPU), role.other(SERVER_CPU, CLIENT_CPU));
    let mut columns = match &load.work {
        Work::Paced(_) if !load.steps().is_empty() => {
            vec![CAPACITY, OVERLOAD_OFFERED, OVERLOAD_KEPT, NOT_SENT, RECOVERY, GENERATOR_LAG_P99]
        }
        // What the server uses is for both loads, so that no message of one has a part of it.
        Work::Paced(_) if scenario.beside.is_some() => {
            vec![P50, P99, P99_9, MAX, ACHIEVED, GENERATOR_LAG_P99, SERVER_CPU_SHARE]
        }
        Work::Paced(_) => vec![P50, P99, P99_9, MAX, ACHIEVED, GENERATOR_LAG_P99, own_cpu],
        Work::PingPong(_) | Work::Window(_) => vec![RATE, P50, P99, P99_9, other_cpu],
        Work::OneWay(_) => vec![RATE, SEND_RATE, other_cpu],
        Work::Connect(connect) if connect.exchanges > 0 || load.is_paced() => {
            vec![HANDSHAKE_RATE, HANDSHAKE_P50, HANDSHAKE_P99, REFUSED, TIMED_OUT, other_cpu]
        }
        Work::Connect(_) => {
            vec![TCP_CONNECT_P50, UPGRADE_P50, FIRST_PUSH_P50, CONNECT_TO_FIRST_PUSH_P50, other_cpu]
        }
        Work::Push(_) => vec![LAG_P50, LAG_MAX, TOTAL_TIME, SERVER_CPU, CLIENT_CPU],
        Work::Idle(_) => vec![SERVER_CPU_SHARE, SERVER_THREADS, MACHINE_CPU, MACHINE_MEMORY],
        Work::Broadcast(_) => vec![
            FIRST_DELIVERY_P50,
            MEDIAN_DELIVERY_P50,
            LAST_DELIVERY_P50,
            LAST_DELIVERY_P99,
            DELIVERED,
            GENERATOR_LAG_P99,
            own_cpu,
        ],
    };
    if scenario.bursts.is_some() {
        columns = vec![P50, P99, MAX, SERVER_SWITCHES_PER_BURST, other_cpu];
        if load.slice_ms > 0 {
            columns.splice(..3, [P50_START, P99_START, P50_REST, P99_REST, SETTLED, MAX]);
        }
    }
    if load.stall().is_some() {
        // What the others see, and what the server holds for those that do not read.
        columns = vec![P50, P99, MAX];
        if load.slice_ms > 0 {
            columns.extend([P99_BEFORE, P99_DURING, P99_AFTER, RECOVERY]);
        }
        if load.workload() == Workload::Broadcast {
            columns.extend([DELIVERED, DROPPED, DISCONNECTED]);
        }
        columns.extend([SERVER_RSS_PEAK, MEMORY_BOUND, MEMORY_OF_BOUND]);
    }
    if load.workload() == Workload::Push && load.slice_ms > 0 {
        columns.push(LAG_DRIFT);
    }
    if let Some(beside) = &scenario.beside {
        columns.extend(match beside.workload() {
            Workload::Connect => vec![HANDSHAKE_RATE, HANDSHAKE_P99, REFUSED, TIMED_OUT],
            _ => vec![BESIDE_RATE],
        });
        if load.slice_ms > 0 {
            // Of p99.9 a storm is mostly too short; where it is not, JSON and CSV have it before and after as well.
            columns.extend([P99_BEFORE, P99_DURING, P99_AFTER, P99_9_DURING]);
        }
        if beside.workload() == Workload::Connect {
            columns.extend([SERVER_RSS_GROWTH, SERVER_FILES_GROWTH]);
        }
    }
    if load.payload_bytes >= LARGE_BYTES && load.stall().is_none() {
        columns.extend([THROUGHPUT, SERVER_CPU_PER_BYTE]);
    }
    if scenario.server_cores.is_some() {
        columns.push(RATE_PER_CORE);
    }
    if scenario.is_about_fairness() {
        columns.extend([LEAST_SHARE, JAIN, own_cpu]);
    }
    let judged = judged(scenario, role);
    columns.retain(|column| !judged.contains(column));
    // Those with verdicts first: a narrow terminal leaves columns out from the right.
    [&judged[1..], &columns].concat()
}

/// Messages from which on bytes, and not messages, are what a server works for.
const LARGE_BYTES: u64 = 1_024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Catalogue;

    fn scenario(name: &str) -> Scenario {
        Catalogue::built_in().scenarios[name].clone()
    }

    #[test]
    fn rows_are_judged_by_what_placement_and_load_make_mean_something() {
        let of = |name: &str| judged(&scenario(name), Role::Server);
        assert_eq!(of("rtt-24"), [SERVER_CPU, P50, P99, SERVER_CPU_RELATIVE]);
        assert_eq!(of("window-64"), [SERVER_CPU, RATE, SERVER_CPU_RELATIVE]);
        assert_eq!(of("closed-100-shared"), [SERVER_CPU, SERVER_CPU_RELATIVE]);
        // On two cores the client is as often the limit as the server.
        assert_eq!(of("closed-100"), [SERVER_CPU]);
        assert_eq!(of("paced-1000"), [P99, SERVER_CPU]);
        assert_eq!(of("storm-1000"), [P99]);
        assert_eq!(of("fair-100"), [JAIN]);
        let split = Scenario { placement: Placement::Split, ..scenario("rtt-24") };
        assert_eq!(judged(&split, Role::Server), [SERVER_CPU]);
        assert_eq!(judged(&scenario("rtt-24"), Role::Client), [CLIENT_CPU, P50, P99, CLIENT_CPU_RELATIVE]);
    }

    #[test]
    fn what_is_judged_stands_before_what_is_only_shown() {
        let columns = columns(&scenario("rtt-24"), Role::Server);
        assert_eq!(columns, [P50, P99, SERVER_CPU_RELATIVE, RATE, P99_9, CLIENT_CPU]);
    }
}
