"""Study cells: a summary, flashcards, a quiz or an exam about the notebook, a topic or a help page.

Code that proves an answer runs before anyone sees the question; what it disproves is left out.
"""
