"""Personal data where nobody declared any: found in text, in sampled columns and in lines of files, offline.

GDPR Art. 5(2), 25(1) and 32(1)(d): that the declarations are whole is tested, not assumed. The finder is Presidio
(github.com/microsoft/presidio) without a language model: patterns,
checks and cues, no download, no network. It takes seconds to import, so only
`detection.find` imports it, when it is first called; nothing that serves requests does.
"""
