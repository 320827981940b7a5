# Sourced by scripts/syscalls-per-message and scripts/instructions-per-message: rows, and the runner protocol
# (docs/PROTOCOL.md) over named pipes. A caller sets `name`, its own, for messages.

# Longest wait for an event, in seconds: a row under valgrind takes some, and a row that hangs should be named.
event_limit=180

runners="${WSBENCH_RUNNER_DIR:-target/release}"
folder=""
server_pid=""
client_pid=""
helper_pid=""

fail() {
    echo "$name: $1" >&2
    exit "${2:-1}"
}

# Ends what this script started, and nothing else.
clean_up() {
    local pid
    for pid in $helper_pid $client_pid $server_pid; do
        kill -KILL "$pid" 2>/dev/null || true
    done
    if [ -n "$folder" ]; then rm -rf "$folder"; fi
}

# One measurement at a time on this machine, as `wsbench run --lock` has it; the lock ends with this script.
take_lock() {
    local lock="${WSBENCH_LOCK:-${TMPDIR:-/tmp}/wsbench-$(id -u).lock}"
    # A link that somebody laid there is not followed.
    [ ! -L "$lock" ] || fail "the lock $lock is a link"
    exec 9<>"$lock"
    flock --nonblock 9 || fail "somebody is measuring on this machine: $(head -c 300 "$lock")"
}

# Makes the folder of the pipes, and sees to it that nothing is left behind.
prepare() {
    take_lock
    folder=$(mktemp -d)
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    if [ ! -x "$runners/runner-tokio" ]; then
        fail "$runners/runner-tokio, the client, is missing: run \`cargo build --workspace --release --no-default-features\` first"
    fi
}

# "ROW PROGRAM" for every row of runners/rows.toml.
known_rows() {
    awk -F'"' '/^\[\[row\]\]/ { row = "" } /^name *=/ { row = $2 } /^program *=/ { print row, $2 }' runners/rows.toml
}

# The rows that were asked for, or all; one that does not exist ends the script.
wanted_rows() {
    local row
    if [ $# -eq 0 ]; then
        known_rows
        return
    fi
    for row in "$@"; do
        known_rows | awk -v row="$row" '$1 == row { print; found = 1 } END { exit !found }' ||
            fail "there is no row \`$row\`; there are: $(known_rows | awk '{ printf "%s ", $1 }')" 2
    done
}

# Whether row $1 of program $2 can run here; says why it is skipped. Sets `environment`, what it has to start with.
available() {
    local description code=0
    if [ ! -x "$runners/$2" ]; then
        echo "$1: skipped: $runners/$2 is missing (cargo build --workspace --release --no-default-features)"
        return 1
    fi
    description=$("$runners/$2" describe --row "$1" 2>"$folder/reason") || code=$?
    if [ "$code" -ne 0 ]; then
        echo "$1: skipped: describe ended with $code: $(tail -n 1 "$folder/reason")"
        return 1
    fi
    mapfile -t environment < <(grep -o '"environment" *: *{[^}]*}' <<<"$description" | sed 's/^[^{]*//' |
        grep -o '"[^"]*" *: *"[^"]*"' | sed 's/^"\([^"]*\)" *: *"\(.*\)"$/\1=\2/')
}

# The value of key $1 in the JSON line $2.
value() {
    sed -n "s/.*\"$1\" *: *\"\{0,1\}\([^\",}]*\).*/\1/p" <<<"$2"
}

# Reads a line from descriptor $1, which has to be the event $2; leaves it in `event`. $3 names who speaks.
expect() {
    if ! IFS= read -r -t "$event_limit" event <&"$1"; then
        problem="the $3 ended or was silent where \`$2\` was due: $(tail -n 1 "$folder/$3.err")"
        return 1
    fi
    if [ "$(value event "$event")" != "$2" ]; then
        problem="the $3 reported \`${event:0:80}\` where \`$2\` was due"
        return 1
    fi
}

# Starts the command "$@" as the server; sets `address`.
start_server() {
    rm -f "$folder"/server.* && mkfifo "$folder/server.in" "$folder/server.out"
    "$@" <"$folder/server.in" >"$folder/server.out" 2>"$folder/server.err" &
    server_pid=$!
    exec {server_in}>"$folder/server.in" {server_out}<"$folder/server.out"
    expect "$server_out" listening server || return 1
    address=$(value addr "$event")
}

# Starts the command "$@" as the client and waits until it is connected and warmed up.
start_client() {
    rm -f "$folder"/client.* && mkfifo "$folder/client.in" "$folder/client.out"
    # Without the server's pipes: the end of its stdin, which stops it, would never come.
    "$@" <"$folder/client.in" >"$folder/client.out" 2>"$folder/client.err" {server_in}>&- {server_out}<&- &
    client_pid=$!
    exec {client_in}>"$folder/client.in" {client_out}<"$folder/client.out"
    expect "$client_out" ready client
}

# The measured window: $1 messages on each connection. Sets `units`.
go() {
    echo "go $1" >&"$client_in"
    expect "$client_out" measured client || return 1
    units=$(value units "$event")
}

# Ends both in order.
finish() {
    echo finish >&"$client_in"
    expect "$client_out" drove client || return 1
    exec {client_in}>&- {client_out}<&-
    wait "$client_pid" || { problem="the client failed: $(tail -n 1 "$folder/client.err")"; return 1; }
    client_pid=""
    exec {server_in}>&-
    expect "$server_out" served server || return 1
    exec {server_out}<&-
    wait "$server_pid" || { problem="the server failed: $(tail -n 1 "$folder/server.err")"; return 1; }
    server_pid=""
}

# Ends what a failed row left running.
abandon() {
    local pid
    for pid in $helper_pid $client_pid $server_pid; do
        kill -KILL "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    helper_pid="" client_pid="" server_pid=""
}
