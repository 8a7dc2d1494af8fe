#!/usr/bin/env bash
# A real SLURM of one node, this one, to try the SLURM recipe on. Not for production: no accounting, no cgroups.
#
#   apt-get install slurm-wlm munge
#   workflows/slurm/single_node.sh start FOLDER      # then do as it says: export SLURM_CONF=FOLDER/slurm.conf
#   workflows/slurm/single_node.sh stop FOLDER
#
# All it writes lies in FOLDER: key, sockets, state, logs. It runs as whoever starts it, on ports of its own, so that it
# does not meet a SLURM that is installed as a service.
set -euo pipefail

usage="usage: $0 start|stop FOLDER"
action=${1:?$usage}
mkdir -p "${2:?$usage}"
folder=$(cd "$2" && pwd)
export SLURM_CONF=$folder/slurm.conf
export PATH=$PATH:/usr/sbin

free_ports() {
    python3 -c 'import socket
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(s.getsockname()[1] for s in sockets))'
}

configure() {
    local controller node me
    read -r controller node < <(free_ports)
    me=$(id -un)
    cat >"$SLURM_CONF" <<END
ClusterName=landmap
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmctldPort=$controller
SlurmdPort=$node
SlurmUser=$me
SlurmdUser=$me
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
# What needs no cgroups, which containers rarely let one make.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
MpiDefault=none
ReturnToService=2
SchedulerParameters=sched_interval=1,batch_sched_delay=0
$(slurmd -C | sed -n 's/^\(NodeName=\S*\)/\1 NodeAddr=127.0.0.1/p') State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
END
}

start() {
    configure
    (umask 077 && mkdir -p "$folder/state" "$folder/spool" && head -c 1024 /dev/urandom >"$folder/munge.key")
    # --force: a folder that others can't enter is what we want, and munged warns of.
    munged --force --key-file "$folder/munge.key" --socket "$folder/munge.socket" --pid-file "$folder/munged.pid" \
        --seed-file "$folder/munge.seed" --log-file "$folder/munged.log" --num-threads 2
    slurmctld
    slurmd
    for _ in $(seq 100); do
        if [ "$(sinfo --noheader --format %T 2>/dev/null)" = idle ]; then
            echo "export SLURM_CONF=$SLURM_CONF"
            return
        fi
        sleep 0.2
    done
    echo "error: expected an idle node after 20 s; see the logs in $folder" >&2
    sinfo >&2 || true
    stop
    exit 1
}

stop() {
    local daemon
    scancel --user "$(id -un)" 2>/dev/null || true
    for daemon in slurmd slurmctld munged; do
        if [ -f "$folder/$daemon.pid" ]; then
            kill "$(cat "$folder/$daemon.pid")" 2>/dev/null || true
        fi
    done
}

case $action in
start | stop) "$action" ;;
*) echo "$usage" >&2 && exit 2 ;;
esac
