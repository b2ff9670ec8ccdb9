"""Servers that tests and demos talk to over the wire; each is started once for a run.

A server that has a package of its own is a folder here: its `requirements.lock` is installed into
a virtual environment of its own under `.cache/servers/`, never beside batuta's own clients, since
servers and clients want different versions of the same libraries.

The folder's package exports `SERVER`, a class with `start(folder)`, a context manager that gives a
running server, and with `settings()`, the strings from which `SERVER(**settings)` makes an equal
value in another process.
"""
