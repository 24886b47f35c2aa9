"""The older home of what changes a module in place for several processes."""
