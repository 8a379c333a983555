"""The OpenAI-compatible proxy: any OpenAI client pointed here has memory.

A request is read (:mod:`.requests`), given what memory holds (:mod:`.memory`), answered by an
upstream (:mod:`.upstream`) or by the chat model of the settings (:mod:`.local`), and what comes
back is passed on byte for byte (:mod:`.relay`) and read on the side for the log (:mod:`.replies`).
:mod:`.door` puts these together.
"""
