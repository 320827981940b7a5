//! What a trial is made of, and what its two ends are started with.

use bench_core::{
    DriveSpec, ServeSpec,
    spec::{ClientTls, Load, Pacing, SocketSpec},
    stack::upgrade::Additions,
};

use crate::{
    catalogue::Scenario,
    identity::Identity,
    placement::{Cores, Placement},
    program::Program,
    record::{Origin, Pair},
};

/// What a trial is made of.
#[derive(Clone, Copy, Debug)]
pub struct Setup<'a> {
    /// The scenario.
    pub scenario: &'a Scenario,
    /// Names of the two rows in the results.
    pub pair: &'a Pair,
    /// Program of the server.
    pub server: &'a Program,
    /// Program of the client.
    pub client: &'a Program,
    /// Where they run.
    pub placement: Placement,
    /// Cores they run on.
    pub cores: &'a Cores,
    /// Worker threads of rows that take several.
    pub threads: u32,
}

impl Setup<'_> {
    pub(crate) fn serve_spec(&self, identity: Option<&Identity>) -> ServeSpec {
        let threads = self.server.threads(self.threads);
        ServeSpec {
            tls_cert: identity.map(Identity::certificate),
            tls_key: identity.map(Identity::key),
            ..ServeSpec::on_loopback(threads, self.socket(self.server))
        }
    }

    pub(crate) fn drive_spec(&self, load: &Load, pacing: Pacing, identity: Option<&Identity>) -> DriveSpec {
        // The send buffer is the server's. Its address is known once it listens.
        let socket = SocketSpec { send_buffer_bytes: None, ..self.socket(self.client) };
        let spec = DriveSpec {
            threads: self.client.threads(self.threads),
            pacing,
            tls: identity.map(|identity| ClientTls::of_trial(identity.certificate())),
            ..DriveSpec::plain("", load.clone(), socket)
        };
        let Some(exec) = &self.server.exec else { return spec };
        // Both were read when the row was made.
        let Additions { headers, subprotocols } = exec.additions().unwrap_or_default();
        let tls = exec.client_tls().unwrap_or_default();
        DriveSpec { target: exec.url.clone(), headers, subprotocols, tls, ..spec }
    }

    /// What the client of a paced load waits with. Where clients are compared, their runtimes' timers are part of it; on
    /// a core that it shares with the server, spinning would take the server's time, and on one that it shares with a
    /// second client, that one's. On a sibling of the server's core it would slow the server down.
    pub(crate) fn pacing(&self, origin: &Origin) -> Pacing {
        let apart = self.placement == Placement::Split && !self.cores.cores_shared;
        let can_sleep = self.client.info.offers_pacing(Pacing::Sleep);
        match (apart && !origin.compares_clients, &self.scenario.beside) {
            (false, _) => Pacing::Timers,
            (true, _) if self.cores.siblings => {
                if can_sleep {
                    Pacing::Sleep
                } else {
                    Pacing::Timers
                }
            }
            (true, Some(_)) if can_sleep => Pacing::Sleep,
            (true, _) => Pacing::Spin,
        }
    }

    /// The scenario's settings; an end that lacks its flush policy has its own.
    fn socket(&self, end: &Program) -> SocketSpec {
        let socket = &self.scenario.socket;
        SocketSpec { flush: end.info.flush_for(socket.flush), ..socket.clone() }
    }
}
