"""Attacks from inside a real worker, against sinks that play the internet.

`harness.Internet` makes two network namespaces: in one live the sinks, in the other the
supervisor and its workers. Nothing leaves them. `probes` are the attempts, `scenes` what a
supervisor does with them, the tests judge by what the probe said and by what the sinks saw.
"""
