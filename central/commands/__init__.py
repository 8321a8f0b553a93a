"""The commands of `tillside-central`, a module for each subject.

What a command needs is loaded when it runs: a schema is printed without a database driver.
"""
