"""The walls around a worker: namespaces, seccomp, Landlock, nftables, each on its own.

`confinement.launch` starts a process behind them; `probe` finds by trying which of them this
machine gives; `levels` says which tier may run behind which. The code inside does not know.
"""
