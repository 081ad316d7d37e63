# A network of its own: servers on addresses of its loopback interface, and what this kind of network does to DNS. Run in new network
# and mount namespaces with: the folder of the configurations, the kind of network.
folder=$1
kind=$2
PATH=/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin
say_and_stop() { echo "cannot: $1"; exit 1; }

ip link set lo up || say_and_stop "ip link"
if [ "$kind" = four ]; then
  echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6 || say_and_stop "disable_ipv6"
fi
if [ "$kind" != six ]; then
  for address in 10.53.0.1 10.53.0.2 10.53.0.3 10.53.0.4 10.53.0.9 10.53.0.11 10.53.0.12 1.1.1.1; do
    ip address add $address/32 dev lo || say_and_stop "ip address"
  done
  ip route add default dev lo src 10.53.0.3 || say_and_stop "ip route"
fi
if [ "$kind" = six ] || [ "$kind" = both ]; then
  for address in fd53::1 fd53::2 fd53::4 fd53::9; do
    ip -6 address add $address/128 dev lo nodad || say_and_stop "ip -6 address"
  done
fi
mount --bind "$folder/resolv.conf" "$(readlink -f /etc/resolv.conf)" || say_and_stop "mount"

named -g -n 1 -c "$folder/named.conf" & servers=$!
unbound -d -c "$folder/unbound.conf" & servers="$servers $!"
if [ -f "$folder/slow.py" ]; then
  python3 "$folder/slow.py" & servers="$servers $!"
fi
if [ -f "$folder/rules.nft" ]; then
  nft -f "$folder/rules.nft" || say_and_stop "nft"
fi
trap 'kill $servers; exit 0' TERM
echo "inside as $$"
wait
