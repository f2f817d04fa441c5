# SPDX-License-Identifier: Apache-2.0
"""SQL over tables that nobody may pool: text to relations, relations to homes, what is joint to arrays.

    parse -> bind -> rewrite -> homes -> lower

`parse` reads the text, `bind/` gives names their meaning (`algebra`, `functions`), `rewrite` moves work to where it is
cheap, `homes` gives each party its own part as SQL for its own engine, `lower` writes the rest as an array program
(`scalar`, `join`, `group`, `window`, `order`), and `result` reads disclosed arrays back as Arrow.
"""
