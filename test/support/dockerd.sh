#!/bin/sh
# dockerd.sh FOLDER ARGUMENTS: runs dockerd until SIGTERM, then restores the packet filter and the forwarding setting
# and deletes the bridge. The caller holds a lock: otherwise one engine would save another's rules as the machine's own.
folder=$1
shift
iptables-save >"$folder/rules"
forwarding=$(cat /proc/sys/net/ipv4/ip_forward)
dockerd "$@" &
trap 'kill $!' TERM INT
wait $! # the signal interrupts this one
wait $!
# iptables-save omits tables that hold no rules, so the defaults come first.
{
  printf '*filter\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\nCOMMIT\n'
  printf '*nat\n:PREROUTING ACCEPT\n:INPUT ACCEPT\n:OUTPUT ACCEPT\n:POSTROUTING ACCEPT\nCOMMIT\n'
  cat "$folder/rules"
} | iptables-restore
echo "$forwarding" >/proc/sys/net/ipv4/ip_forward
ip link delete docker0
umount "$folder/exec/netns/default"
