//! Servers that are started by a command of their own: any program that echoes WebSocket messages.
//!
//! Such a server does not speak the runner protocol. A guardian process of wsbench does it for the server:
//! it starts the command, says when the server is ready, and leaves no process of it behind.

use std::{
    collections::BTreeMap,
    fmt::Display,
    fs,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
};

use bench_core::{
    spec::{ClientTls, Header, SpecError, server_name, subprotocol},
    stack::upgrade::Additions,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Stands for the port that the server is to listen on.
pub const PORT: &str = "{port}";

/// Stands for the number of worker threads. A command that has it can use several cores.
pub const THREADS: &str = "{threads}";

/// Where the echo service is, unless the definition says otherwise.
const URL: &str = "ws://127.0.0.1:{port}/echo";

/// A server that is started by a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exec {
    /// The program and its arguments; no shell reads them. `{port}` stands for the port to listen on, `{threads}` for the
    /// number of worker threads.
    pub command: Vec<String>,
    /// Where the echo service is. The host has to be this machine.
    #[serde(default = "default_url")]
    pub url: String,
    /// What has to work before the load begins.
    #[serde(default)]
    pub ready: Ready,
    /// Variables that the command gets in addition to those of wsbench, with the same placeholders.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// The folder that the command is started in; that of wsbench when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<PathBuf>,
    /// The signal that asks its processes to end. Those that are left after five seconds are killed.
    #[serde(default)]
    pub stop: StopSignal,
    /// Headers that clients add to the request of their opening handshake.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Subprotocols that clients offer, in order of preference.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subprotocols: Vec<String>,
    /// Whom clients trust, where the server is under TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ExecTls>,
}

/// Whom the clients of a server under TLS trust. They negotiate what they do with every row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExecTls {
    /// A file in PEM with the server's certificate, or that of the authority that has signed it.
    pub ca: PathBuf,
    /// The name that the certificate has to bear; the URL's host when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
}

fn default_url() -> String {
    URL.to_owned()
}

/// What has to work before the load begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Ready {
    /// The echo of a message that no other trial has sent.
    #[default]
    Echo,
    /// A TCP connection.
    Port,
}

/// A signal that asks a process to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs)]
pub enum StopSignal {
    #[default]
    SigTerm,
    SigInt,
    SigQuit,
    SigHup,
    SigUsr1,
    SigUsr2,
}

/// Why a definition cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// The command is empty, or its quotes do not close.
    #[error("{0}")]
    Command(String),
    /// The command does not learn which port to listen on.
    #[error(
        "nothing tells the server its port: write {PORT} into the command, or into the environment, where the number should stand"
    )]
    NoPort,
    /// The URL has another form, or another host.
    #[error("the URL `{url}` {reason}")]
    Url {
        /// The URL.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A header, a subprotocol, or the name of the server under TLS.
    #[error(transparent)]
    Handshake(#[from] SpecError),
    /// There is no such program.
    #[error("there is no program `{0}`: give its path, or a name that is in PATH")]
    NoProgram(String),
}

impl Exec {
    /// A server that listens on `{port}` and echoes at `/echo`.
    ///
    /// # Errors
    /// When the command is empty, a quote does not close, or nothing stands for the port.
    pub fn parse(command: &str) -> Result<Exec, ExecError> {
        let words = shlex::split(command)
            .ok_or_else(|| ExecError::Command(format!("`{command}`: a quote does not close")))?;
        let exec = Exec {
            command: words,
            url: default_url(),
            ready: Ready::default(),
            environment: BTreeMap::new(),
            directory: None,
            stop: StopSignal::default(),
            headers: BTreeMap::new(),
            subprotocols: Vec::new(),
            tls: None,
        };
        exec.check()?;
        Ok(exec)
    }

    /// Checks what can be checked without starting it.
    ///
    /// # Errors
    /// What is wrong with the first value that makes no sense.
    pub fn check(&self) -> Result<(), ExecError> {
        if self.command.first().is_none_or(String::is_empty) {
            return Err(ExecError::Command("the command is empty".to_owned()));
        }
        if !self.texts().any(|text| text.contains(PORT)) {
            return Err(ExecError::NoPort);
        }
        self.additions()?;
        self.client_tls()?;
        let url = |reason| Err(ExecError::Url { url: self.url.clone(), reason });
        match self.url.split_once("://") {
            Some(("wss", _)) if self.tls.is_none() => url("needs the table `tls`, which says whom to trust"),
            Some(("ws", _)) if self.tls.is_some() => {
                url("is without TLS: leave out the table `tls`, or use wss://")
            }
            Some(("ws" | "wss", rest)) => match rest.split_once(PORT) {
                Some((host, _)) if is_loopback(host) => Ok(()),
                Some(_) => url("has to name this machine: 127.0.0.1, [::1] or localhost"),
                None => url("has to hold {port}, which stands for the port that the server is given"),
            },
            _ => url("has to begin with ws:// or wss://"),
        }
    }

    /// Whether the server is told how many threads to use.
    pub fn takes_threads(&self) -> bool {
        self.texts().any(|text| text.contains(THREADS))
    }

    /// Everything in which placeholders are replaced.
    fn texts(&self) -> impl Iterator<Item = &String> {
        self.command.iter().chain(self.environment.values())
    }

    /// The file of the program.
    ///
    /// # Errors
    /// When there is none, in the folder of the command or in PATH.
    pub fn program(&self) -> Result<PathBuf, ExecError> {
        let name = &self.command[0];
        let missing = || ExecError::NoProgram(name.clone());
        if name.contains('/') {
            let path = self.directory.as_deref().unwrap_or(Path::new("")).join(name);
            return path.is_file().then_some(path).ok_or_else(missing);
        }
        let folders = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&folders)
            .map(|folder| folder.join(name))
            .find(|path| path.is_file())
            .ok_or_else(missing)
    }

    /// The files that decide what runs, so far as the command names them: the program, and arguments that are files.
    ///
    /// # Errors
    /// When there is no such program.
    pub fn files(&self) -> Result<Vec<PathBuf>, ExecError> {
        let folder = self.directory.clone().unwrap_or_default();
        let arguments = self.command[1..].iter().map(|argument| folder.join(argument));
        Ok([self.program()?].into_iter().chain(arguments.filter(|path| path.is_file())).collect())
    }

    /// The same with the number of worker threads filled in.
    pub(crate) fn with_threads(&self, threads: u32) -> Exec {
        self.filled(THREADS, &threads.to_string())
    }

    /// The same with the port filled in, also in the URL.
    pub fn with_port(&self, port: u16) -> Exec {
        let port = port.to_string();
        Exec { url: self.url.replace(PORT, &port), ..self.filled(PORT, &port) }
    }

    fn filled(&self, placeholder: &str, value: &str) -> Exec {
        let fill = |text: &String| text.replace(placeholder, value);
        Exec {
            command: self.command.iter().map(fill).collect(),
            environment: self.environment.iter().map(|(name, text)| (name.clone(), fill(text))).collect(),
            ..self.clone()
        }
    }

    /// What clients add to the request of their opening handshake.
    ///
    /// # Errors
    /// When a header or a subprotocol is not one.
    pub fn additions(&self) -> Result<Additions, SpecError> {
        let headers: Result<Vec<Header>, SpecError> =
            self.headers.iter().map(|(name, value)| Header::new(name, value)).collect();
        let subprotocols: Result<Vec<String>, SpecError> =
            self.subprotocols.iter().map(|name| subprotocol(name)).collect();
        Ok(Additions { headers: headers?, subprotocols: subprotocols? })
    }

    /// Whom clients trust, where the server is under TLS.
    ///
    /// # Errors
    /// When the name of the server is neither that of a host nor an address.
    pub fn client_tls(&self) -> Result<Option<ClientTls>, SpecError> {
        let Some(tls) = &self.tls else { return Ok(None) };
        let name = tls.server_name.as_deref().map(server_name).transpose()?;
        let ca = self.directory.clone().unwrap_or_default().join(&tls.ca);
        Ok(Some(ClientTls { server_name: name, ..ClientTls::of_trial(ca) }))
    }

    /// Whether clients have to know more than they do for the servers of runners.
    pub fn needs_special_handshake(&self) -> bool {
        let named = self.tls.as_ref().is_some_and(|tls| tls.server_name.is_some());
        named || !self.headers.is_empty() || !self.subprotocols.is_empty()
    }

    /// The addresses at which the server may listen: all that its host stands for.
    pub fn addresses(&self, port: u16) -> Vec<SocketAddr> {
        let host = self.url.split_once("://").map_or("", |(_, rest)| rest);
        match host {
            _ if host.starts_with("[::1]") => vec![(Ipv6Addr::LOCALHOST, port).into()],
            _ if host.starts_with("localhost") => {
                vec![(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()]
            }
            _ => vec![(Ipv4Addr::LOCALHOST, port).into()],
        }
    }

    /// The path and query of the echo service.
    pub fn path(&self) -> String {
        // ws://HOST:PORT?QUERY has no path, which a request cannot do without.
        let rest = self.url.split_once(PORT).map_or("", |(_, rest)| rest);
        if rest.starts_with('/') { rest.to_owned() } else { format!("/{rest}") }
    }
}

/// The URL of a server that listens at `addr`.
pub(crate) fn url_at(url: &str, addr: SocketAddr) -> String {
    url.replace(PORT, &addr.port().to_string())
}

/// Whether the part of a URL before the port names this machine.
fn is_loopback(host: &str) -> bool {
    ["127.0.0.1:", "[::1]:", "localhost:"].contains(&host)
}

/// Reads a definition from a TOML file: its name, or else that of the file, and the server. Its folder is relative to that of
/// the file.
///
/// # Errors
/// One line that says what is wrong with the file.
pub fn read(path: &Path) -> Result<(String, Exec), String> {
    let failed = |reason: &dyn Display| {
        format!("{}: {}", path.display(), reason.to_string().trim().replace('\n', " "))
    };
    let text = fs::read_to_string(path).map_err(|error| failed(&error))?;
    let mut table: toml::Table = text.parse().map_err(|error: toml::de::Error| failed(&error.message()))?;
    let name = match table.remove("name") {
        Some(toml::Value::String(name)) => name,
        Some(_) => return Err(failed(&"`name` has to be a text")),
        None => path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned()),
    };
    let exec: Exec = table.try_into().map_err(|error: toml::de::Error| failed(&error.message()))?;
    exec.check().map_err(|error| failed(&error))?;
    let folder =
        path.parent().unwrap_or(Path::new("")).join(exec.directory.as_deref().unwrap_or(Path::new("")));
    let directory = Some(folder).filter(|folder| !folder.as_os_str().is_empty());
    Ok((name, Exec { directory, ..exec }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_words_and_not_a_script() {
        let exec = Exec::parse("node 'my server.mjs' --port {port} $HOME").unwrap();
        assert_eq!(exec.command, ["node", "my server.mjs", "--port", "{port}", "$HOME"]);
        let exec = exec.with_port(9001);
        assert_eq!((exec.command[3].as_str(), exec.url.as_str()), ("9001", "ws://127.0.0.1:9001/echo"));
    }

    #[test]
    fn what_cannot_work_is_refused() {
        let refused = |command| Exec::parse(command).unwrap_err().to_string();
        assert!(refused("").contains("empty"));
        assert!(refused("./server '{port}").contains("quote"));
        assert!(refused("./server 9001").contains("write {port} into the command"));
        let url = |url: &str| {
            let exec = Exec { url: url.to_owned(), ..Exec::parse("./server {port}").unwrap() };
            exec.check().map_err(|error| error.to_string())
        };
        assert_eq!(url("ws://[::1]:{port}/chat?room=1"), Ok(()));
        assert!(url("http://127.0.0.1:{port}/").unwrap_err().contains("ws:// or wss://"));
        assert!(url("ws://127.0.0.1:9001/").unwrap_err().contains("has to hold {port}"));
        assert!(url("ws://198.51.100.7:{port}/").unwrap_err().contains("this machine"));
    }

    #[test]
    fn the_path_is_what_follows_the_port() {
        let path = |url: &str| Exec { url: url.to_owned(), ..Exec::parse("x {port}").unwrap() }.path();
        assert_eq!(path("ws://127.0.0.1:{port}"), "/");
        assert_eq!(path("ws://127.0.0.1:{port}/a?b=c"), "/a?b=c");
        assert_eq!(path("ws://127.0.0.1:{port}?b=c"), "/?b=c");
    }

    #[test]
    fn a_file_is_a_definition() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.toml");
        let read = |text: &str| {
            fs::write(&path, text).unwrap();
            read(&path)
        };
        let (name, exec) = read(
            "command = ['./server']\nurl = 'ws://localhost:{port}/'\nready = 'port'\nstop = 'SIGINT'\n[environment]\nPORT = '{port}'",
        )
        .unwrap();
        assert_eq!((name.as_str(), exec.ready, exec.stop), ("mine", Ready::Port, StopSignal::SigInt));
        assert_eq!(exec.directory.as_deref(), Some(folder.path()));
        assert_eq!(read("name = 'x'\ncommand = ['s', '{port}']").unwrap().0, "x");
        assert!(read("command = 's {port}'").unwrap_err().contains("mine.toml: invalid type"));
        assert!(
            read("command = ['s', '{port}']\ncolour = 1").unwrap_err().contains("unknown field `colour`")
        );
        assert!(
            read("command = ['s']").unwrap_err().contains("mine.toml: nothing tells the server its port")
        );
    }
}
