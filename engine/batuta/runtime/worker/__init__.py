"""The process that touches data: everything comes in one message, receipts go out.

It reads no environment, writes only into the staging folder it was given, holds no key but
those in its message, and ends when the driver does.
"""
