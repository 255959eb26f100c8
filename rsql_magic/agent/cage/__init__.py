"""A cell that asks, tried in a confined process of its own before anybody says yes.

``trial`` is the kernel's side: what is carried over, and what came of it. ``zygote`` is a fresh Python that forks for
each trial, ``confine`` walls the fork in by the system's own means and ``filters`` by a list of system calls,
``cell_run`` runs the cell there.
"""
