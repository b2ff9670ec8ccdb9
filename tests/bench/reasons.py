"""Why a bar is missed, where we know: looked up when a run misses it."""

from tests.bench.measure import Row

UNKNOWN = "not explained yet; a machine busy with other work is the usual cause."
REASONS: tuple[tuple[str, str, str], ...] = (
    (
        "S3 to a local directory", "10,000 x 4 KiB", "moving the bytes takes a fifth of what s5cmd"
        " takes; the rest is what a file costs to be a part of a dataset: its address is signed, its"
        " digest stands in receipt, intent and log, and it is renamed twice, out of the worker's"
        " reach and into its place.",
    ),
    (
        "S3 to a local directory", "data sync", "all files are synced to disk before they are told"
        " of, which s5cmd leaves out (the lines on the transfer phase say what that alone costs),"
        " and the command and two workers start.",
    ),
    (
        "S3 to a local directory", "transfer phase", "the machine's disk and cores were busy; the"
        " phase alone has no work that the peer leaves out.",
    ),
    (
        "Sync again", "", "starting Python twice, for the command and for the worker that lists, is most"
        " of it; the listing itself is one request a thousand objects.",
    ),
    (
        "Plan scale", "nothing changed", "nothing is parsed; each dataset is still decided, its"
        " border drawn and its action hashed and printed, in about 0.3 ms of Python, where the bar"
        " leaves 0.08 ms for it.",
    ),
    (
        "Plan scale", "nothing parsed", "every document is composed with the place of each value,"
        " which diagnostics and `render` need and a bare load does not keep, and then checked,"
        " decided and printed.",
    ),
    (
        "Tables", "`.ald`", "the digest of each part, fsync and the checksum of the format, which its"
        " peer writes no counterpart of.",
    ),
    (
        "Tables", "Arrow", "the digest of each part and fsync, which the peer leaves out.",
    ),
    (
        "Tables", "", "starting the command and its workers, and the digest and fsync of each part.",
    ),
    (
        "Checksums", "copied", "starting the command and its workers; the file itself moves once,"
        " is hashed on the way and synced.",
    ),
    (
        "Checksums", "16 files", "starting the command, about a quarter of a second, is a tenth of"
        " it.",
    ),
    (
        "Many datasets", "memory", "the program itself keeps about 12 KB of each dataset, and each"
        " of the workers, one a core, has Arrow in it.",
    ),
    (
        "The gateway", "processor time", "the bar is in seconds, and this machine's cores are slow: on one"
        " that reaches 0.22 s for `validate` it is 0.32 s/GiB. The ratio to the direct way does not"
        " depend on that.",
    ),
    (
        "Start-up", "validate", "the bar is in seconds, and this machine's cores are slow: a faster one"
        " took 0.22 s. The ratios above do not depend on that.",
    ),
    (
        "Confinement", "launch", "a keeper process, the namespaces and the walls; most of it is the"
        " second start of Python.",
    ),
)  # fmt: skip
"""(start of the section, part of work or figure, why)."""


def reason(row: Row) -> str:
    """Return why `row` misses its bar."""
    what = f"{row.work}, {row.figure}"
    for section, part, why in REASONS:
        if row.section.startswith(section) and part in what:
            return why
    return UNKNOWN
