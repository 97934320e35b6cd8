"""Towards a network: the host's listeners (house.py) must hear nothing, whatever an answer inside says."""

from tests.security.attempt import Attempt, Evidence

THEME = "network"


def only_loopback(evidence: Evidence) -> str:
    names = evidence.facts["interfaces"]
    return "" if set(names) <= {"lo"} else f"interfaces beside loopback: {names}"


ATTEMPTS = (
    Attempt(
        THEME,
        "tcp to the host and beyond",
        """
import socket
for host in ("127.0.0.1", "10.0.2.2", "10.0.0.1", "172.17.0.1", "192.168.0.1", "169.254.169.254", "8.8.8.8"):
    refused(f"connect to {host}", socket.create_connection, (host, @TCP_PORT@), 1)
for host in ("::1", "fe80::1%1", "2001:4860:4860::8888"):
    refused(f"connect to {host}", socket.create_connection, (host, @TCP_PORT@), 1)
""",
        sample=True,
    ),
    Attempt(
        THEME,
        "udp to the host and beyond",
        """
import socket
for host in ("10.0.2.2", "172.17.0.1", "8.8.8.8", "255.255.255.255", "224.0.0.1"):
    one = socket.socket(type=socket.SOCK_DGRAM)
    refused(f"datagram to {host}", one.sendto, b"out", (host, @UDP_PORT@))
one = socket.socket(type=socket.SOCK_DGRAM)
one.settimeout(2)
one.connect(("127.0.0.1", @UDP_PORT@))
one.send(b"out")  # it goes to gVisor's own loopback, where nobody listens
refused("answer to a datagram to 127.0.0.1", one.recv, 10)
""",
    ),
    Attempt(
        THEME,
        "names",
        """
import socket
refused("getaddrinfo", socket.getaddrinfo, "example.org", 80)
refused("gethostbyname", socket.gethostbyname, "localhost.example.org")
query = bytes.fromhex("1234010000010000000000000765 78616d706c65036f72670000010001".replace(" ", ""))
for server in ("127.0.0.53", "8.8.8.8"):
    one = socket.socket(type=socket.SOCK_DGRAM)
    one.settimeout(2)
    def ask():
        one.connect((server, 53))
        one.send(query)
        return one.recv(512)
    refused(f"question to {server}", ask)
""",
    ),
    Attempt(
        THEME,
        "interfaces and routes",
        """
import socket
tried("list the interfaces", "loopback only")
fact("interfaces", [name for _, name in socket.if_nameindex()])
routes = open("/proc/net/route").read().splitlines()[1:]
must("read the routes", holds=not routes, how="no route", seen=routes)
for name in ("/proc/net/tcp", "/proc/net/udp", "/proc/net/tcp6"):
    lines = open(name).read().splitlines()[1:] if os.path.exists(name) else []
    must(f"read {name}", holds=not lines, how="no socket of others", seen=lines)
""",
        proof=only_loopback,
    ),
    Attempt(
        THEME,
        "an interface of its own",
        """
import fcntl, socket
control = socket.socket(type=socket.SOCK_DGRAM)
def change(request, name, rest):
    return fcntl.ioctl(control, request, struct.pack("16s24s", name, rest))
address = struct.pack("=HH4s", socket.AF_INET, 0, bytes((10, 0, 2, 15)))
refused("SIOCSIFFLAGS", change, 0x8914, b"eth0", struct.pack("=H", 1))
refused("SIOCSIFADDR", change, 0x8916, b"lo", address)
refused("SIOCADDRT", fcntl.ioctl, control, 0x890B, bytes(120))
refused("SIOCETHTOOL", change, 0x8946, b"lo", bytes(24))
def tun():
    return fcntl.ioctl(os.open("/dev/net/tun", os.O_RDWR), 0x400454CA, struct.pack("16sH22x", b"tap9", 0x1002))
refused("TUNSETIFF", tun)
""",
    ),
    Attempt(
        THEME,
        "listen for somebody outside",
        """
import socket
ports = []
for address in ("0.0.0.0", "::"):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    one = socket.socket(family)
    one.bind((address, 0))
    one.listen()
    one.settimeout(1.5)
    refused(f"accept on {address}", one.accept)
refused("bind to 8.8.8.8", socket.socket().bind, ("8.8.8.8", 80))
""",
    ),
    Attempt(
        THEME,
        "raw sockets",
        """
import socket
for family in (socket.AF_INET, socket.AF_INET6):
    for protocol in (socket.IPPROTO_ICMP, socket.IPPROTO_TCP, socket.IPPROTO_UDP, socket.IPPROTO_RAW):
        refused(f"raw socket {family.name} {protocol}", socket.socket, family, socket.SOCK_RAW, protocol)
""",
    ),
    Attempt(
        THEME,
        "packet sockets",
        """
import socket
for kind in (socket.SOCK_RAW, socket.SOCK_DGRAM, 10):
    refused(f"AF_PACKET {kind}", socket.socket, socket.AF_PACKET, kind, 0x0300)
""",
    ),
    Attempt(
        THEME,
        "netlink: change links, routes and addresses",
        """
import socket
def ask(kind, body):
    one = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    one.settimeout(2)
    one.send(struct.pack("=IHHII", 16 + len(body), kind, 0x605, 1, 0) + body)
    answer = one.recv(4096)
    code = struct.unpack_from("=i", answer, 16)[0]
    if code < 0:
        raise OSError(-code, os.strerror(-code))
    return answer
link = struct.pack("=BxHiII", 0, 0, 0, 1, 1) + struct.pack("=HH8s", 12, 3, b"dummy0")
refused("RTM_NEWLINK", ask, 16, link)
refused("RTM_SETLINK", ask, 19, struct.pack("=BxHiII", 0, 0, 1, 0, 1))
refused("RTM_NEWADDR", ask, 20, struct.pack("=BBBBi", 2, 24, 0, 0, 1) + struct.pack("=HH4B", 8, 2, 10, 0, 2, 15))
refused("RTM_NEWROUTE", ask, 24, struct.pack("=BBBBBBBBI", 2, 0, 0, 0, 254, 4, 0, 1, 0))
""",
    ),
    Attempt(
        THEME,
        "netlink: the host's own families",
        """
import socket
names = {2: "USERSOCK", 4: "SOCK_DIAG", 6: "XFRM", 7: "SELINUX", 8: "ISCSI", 9: "AUDIT", 10: "FIB_LOOKUP",
         11: "CONNECTOR", 12: "NETFILTER", 16: "GENERIC", 18: "SCSITRANSPORT", 20: "RDMA", 21: "CRYPTO"}
for number, name in names.items():
    refused(f"netlink {name}", socket.socket, socket.AF_NETLINK, socket.SOCK_RAW, number)
""",
    ),
    Attempt(
        THEME,
        "families that reach a kernel or a hypervisor",
        """
import socket
names = {40: "VSOCK", 38: "ALG", 44: "XDP", 29: "CAN", 30: "TIPC", 31: "BLUETOOTH", 21: "RDS", 15: "KEY", 27: "IB",
         3: "AX25", 9: "X25", 4: "IPX", 5: "APPLETALK", 19: "ECONET", 24: "PPPOX", 26: "LLC", 36: "IEEE802154",
         37: "CAIF", 39: "NFC", 41: "KCM", 42: "QIPCRTR", 43: "SMC", 45: "MCTP", 23: "IRDA", 35: "PHONET", 33: "RXRPC"}
for number, name in names.items():
    for kind in (1, 2, 3, 5):
        try:
            socket.socket(number, kind)
        except OSError as error:
            last = code_of(error)
        else:
            escaped(f"AF_{name} {kind}", "a socket")
    tried(f"AF_{name}", last)
""",
    ),
    Attempt(
        THEME,
        "firewall tables and binding to devices",
        """
import socket
one = socket.socket()
refused("IPT_SO_SET_REPLACE", one.setsockopt, 0, 64, bytes(200))
refused("IP6T_SO_SET_REPLACE", socket.socket(socket.AF_INET6).setsockopt, 41, 64, bytes(200))
refused("SO_BINDTODEVICE", one.setsockopt, socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0\\0")
try:
    one.setsockopt(socket.SOL_SOCKET, 32, 1 << 28)
except OSError:
    pass
size = one.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
must("SO_SNDBUFFORCE of 256 MiB", holds=size < 1 << 25, how="gVisor: not granted", seen=size)
""",
    ),
)
