#!/bin/sh
# dockerd.sh FOLDER ARGUMENTS: runs dockerd until SIGTERM and puts back what it changes on the machine: packet filter,
# forwarding, its bridge. Under a lock, so that two engines never take each other's rules for the machine's own.
folder=$1
shift
iptables-save >"$folder/rules"
forwarding=$(cat /proc/sys/net/ipv4/ip_forward)
dockerd "$@" &
trap 'kill $!' TERM INT
wait $! # ends early when the signal comes
wait $!
# iptables-save leaves out what nobody has set.
{
  printf '*filter\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\nCOMMIT\n'
  printf '*nat\n:PREROUTING ACCEPT\n:INPUT ACCEPT\n:OUTPUT ACCEPT\n:POSTROUTING ACCEPT\nCOMMIT\n'
  cat "$folder/rules"
} | iptables-restore
echo "$forwarding" >/proc/sys/net/ipv4/ip_forward
ip link delete docker0
umount "$folder/exec/netns/default"
