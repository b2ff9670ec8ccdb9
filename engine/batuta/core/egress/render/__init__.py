"""The same rules in the words of other tools, as a second layer; never the first one."""
