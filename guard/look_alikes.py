"""Characters that look like a Latin letter or digit, and what they are read as.

Generated from Unicode's `confusables.txt` (Unicode Technical Standard 39, Unicode License v3, (c) Unicode, Inc.), as
carried by the package confusable-homoglyphs 3.3.1 (MIT), reduced to what NFKC, case folding and the removal of
diacritics leave over; with small capitals, turned letters and the letters of squared and regional symbols added. A
character that resembles a letter in either case is read as that letter; one that resembles a digit and a letter, as the
letter. Decimal digits of other scripts are read by their value.
"""

from __future__ import annotations

from typing import Final

_BY_LATIN: Final = {
    "a": "\u0250\u0251\u03b1\u0430\u13aa\u15c5\u1d00\ua4ee\U000102a0\U00016f40\U0001f150\U0001f170\U0001f1e6",
    "b": (
        "\u0180\u0185\u0253\u0299\u03b2\u0431\u0432\u044c\u0463\u048d\u13cf\u13f4\u1472\u1473\u15af\u15f7"
        "\ua4d0\U00010282\U000102a1\U00010301\U0001f151\U0001f171\U0001f1e7"
    ),
    "c": (
        "\u023c\u0254\u0441\u04ab\u13df\u1d04\u2ca5\ua4da\U000102a2\U00010302\U0001043d\U0001051c\U000118f2"
        "\U0001f152\U0001f16e\U0001f172\U0001f1e8"
    ),
    "d": (
        "\u00f0\u0111\u018c\u0256\u0257\u0501\u13a0\u13e7\u146f\u15de\u15ea\u1d05\ua4d2\ua4d3\U0001f153"
        "\U0001f173\U0001f1e9"
    ),
    "e": (
        "\u01dd\u0247\u0258\u03b5\u0435\u04bd\u04bf\u13ac\u1d07\u212e\u2d39\ua4f0\uab32\U00010286\U000118c6"
        "\U000118ce\U0001f154\U0001f174\U0001f1ea"
    ),
    "f": (
        "\u0192\u025f\u03dd\u0584\u15b4\u1d6e\u1e9d\ua4dd\ua730\ua799\uab35\U00010287\U000102a5\U00010525"
        "\U000118c2\U0001f155\U0001f175\U0001f1eb"
    ),
    "g": ("\u0183\u018d\u01e5\u0260\u0261\u0262\u050d\u0581\u13c0\u13f3\u1d83\ua4d6\U0001f156\U0001f176\U0001f1ec"),
    "h": (
        "\u0127\u0265\u0266\u029c\u043d\u045b\u04a3\u04bb\u04c8\u04ca\u0570\u13bb\u13c2\u13f2\u157c\u2c68"
        "\u2c8f\ua4e7\ua695\U000102cf\U0001f157\U0001f177\U0001f1ed"
    ),
    "i": ("\u0131\u0268\u0269\u026a\u03b9\u0456\u13a5\u1d09\u1d7b\u1d7c\ua647\U000118c3\U0001f158\U0001f178\U0001f1ee"),
    "j": "\u0249\u027e\u029d\u03f3\u0458\u13ab\u148d\u1d0a\ua4d9\U0001f159\U0001f179\U0001f1ef",
    "k": (
        "\u0199\u029e\u03ba\u043a\u049b\u049f\u13e6\u16d5\u1d0b\u2c6a\u2c95\ua4d7\ua741\U00010518\U0001f15a"
        "\U0001f17a\U0001f1f0"
    ),
    "l": (
        "\u0142\u019a\u01c0\u026b\u026d\u029f\u04cf\u13de\u14aa\u16c1\u18f3\u2c93\u2cd1\u2d4f\ua4e1\ua4f2"
        "\U0001028a\U00010309\U00010320\U00010443\U00010526\U000118d2\U00016f16\U00016f28\U0001f15b\U0001f17b"
        "\U0001f1f1"
    ),
    "m": (
        "\u026f\u03bc\u03fb\u043c\u04ce\u13b7\u15f0\u16d6\u1d0d\u2c99\ua4df\uab51\U000102b0\U00010311"
        "\U0001f15c\U0001f17c\U0001f1f2"
    ),
    "n": "\u019e\u0272\u0273\u0274\u03b7\u0578\u057c\u1d70\u2c9b\ua4e0\U00010513\U0001f15d\U0001f17d\U0001f1f3",
    "o": (
        "\u00f8\u0275\u03b8\u03bf\u03c3\u043e\u0473\u04e9\u0585\u0b20\u0d20\u101d\u10ff\u12d0\u13a4\u13be"
        "\u13eb\u1d0f\u1d11\u2c9f\u2d31\u2d41\u2d54\u3007\ua4f3\ua74b\uab3d\uab3e\U00010292\U000102ab"
        "\U0001042c\U000104ea\U00010516\U000118c8\U000118d5\U000118d7\U0001f15e\U0001f17e\U0001f1f4"
    ),
    "p": "\u01a5\u03c1\u0440\u13e2\u146d\u18d6\u1d18\u1d7d\u2ca3\ua4d1\U00010295\U0001f15f\U0001f17f\U0001f1f5",
    "q": "\u02a0\u051b\u0563\u0566\u2d55\ua7af\U0001f160\U0001f180\U0001f1f6",
    "r": (
        "\u024d\u0279\u027c\u027d\u0280\u0433\u0493\u13a1\u13b1\u13d2\u1587\u18f4\u1d26\u1d72\u2c85\ua4e3"
        "\uab47\uab48\U000104dc\U00016f35\U0001f161\U0001f181\U0001f1f7"
    ),
    "s": (
        "\u01bd\u0282\u0455\u057f\u13d5\u13da\u18f5\u1d74\ua4e2\ua731\U00010296\U00010448\U000118c1\U00016f3a"
        "\U0001f162\U0001f182\U0001f1f8"
    ),
    "t": (
        "\u0167\u01ab\u01ad\u0287\u0288\u03c4\u0442\u04ad\u13a2\u1d1b\u1d75\u2c66\u2ca7\ua4d4\U00010297"
        "\U000102b1\U00010315\U00016f0a\U0001f163\U0001f183\U0001f1f9"
    ),
    "u": (
        "\u0289\u028b\u03c5\u057d\u1200\u13cc\u144c\u1d1c\u1d7e\ua4f4\ua79f\uab4e\uab52\U000104f6\U000118d8"
        "\U00016f42\U0001f164\U0001f184\U0001f1fa"
    ),
    "v": (
        "\u028c\u03bd\u0475\u13d9\u142f\u1d20\u2d38\ua4e6\ua6df\U0001051d\U00011706\U000118c0\U00016f08"
        "\U0001f165\U0001f185\U0001f1fb"
    ),
    "w": (
        "\u028d\u0461\u051d\u0561\u13b3\u13d4\u1d21\ua4ea\ua761\U000114c5\U0001170a\U0001170e\U0001170f"
        "\U000118ef\U0001f166\U0001f186\U0001f1fc"
    ),
    "x": (
        "\u03c7\u0445\u04b3\u1541\u157d\u16b7\u2cad\u2d5d\ua4eb\uab53\U00010290\U000102b4\U00010317\U00010322"
        "\U00010527\U000118ec\U0001f167\U0001f187\U0001f1fd"
    ),
    "y": (
        "\u01b4\u024f\u0263\u028e\u028f\u03b3\u0443\u04af\u04b1\u10e7\u13a9\u13bd\u1d8c\u1eff\u2ca9\ua4ec"
        "\uab5a\U000102b2\U000118dc\U00016f43\U0001f168\U0001f188\U0001f1fe"
    ),
    "z": (
        "\u01b6\u0225\u0290\u03b6\u13c3\u1646\u1d22\u1d76\ua4dc\U000102f5\U000118c4\U000118c9\U0001f169"
        "\U0001f189\U0001f1ff"
    ),
    "aa": "\ua733",
    "ae": "\u00e6\u04d5",
    "ao": "\ua735",
    "au": "\ua737",
    "av": "\ua739\ua73b",
    "ay": "\ua73d",
    "bl": "\u044b",
    "dz": "\u02a3",
    "ll": "\u01c1",
    "lo": "\u044e",
    "ls": "\u02aa",
    "lz": "\u02ab",
    "oe": "\u0153",
    "oo": "\ua699\ua74f",
    "rn": "\u0271\u1d6f\U00011700",
    "ss": "\u13f0\ua7b5",
    "t3": "\ua729",
    "tf": "\ua777",
    "th": "\u00fe",
    "ts": "\u02a6",
    "ue": "\u1d6b",
    "uo": "\uab63",
    "0": "\U0001f10d",
    "1": "\u2780",
    "2": "\u01a8\u01bb\u03e9\u14bf\u2781\ua645\ua6ef\ua75b",
    "3": "\u021d\u025c\u0292\u0437\u0499\u04e1\u2782\u2ccd\ua76b\U000118ca\U00016f3b",
    "4": "\u13ce\u2783\U000118cf",
    "5": "\u2784\U000118db",
    "6": "\u13ee\u2785\u2cd3",
    "7": "\u2786\U000104fa",
    "8": "\u0223\u2787\U0001031a",
    "9": "\u2788\u2ccb\ua76f\U000118cc\U000118d6",
    "10": "\u2789",
}
_ZEROS: Final = (
    "\u0660\u06f0\u07c0\u0966\u09e6\u0a66\u0ae6\u0b66\u0be6\u0c66\u0ce6\u0d66\u0de6\u0e50\u0ed0\u0f20\u1040\u1090"
    "\u17e0\u1810\u1946\u19d0\u1a80\u1a90\u1b50\u1bb0\u1c40\u1c50\ua620\ua8d0\ua900\ua9d0\ua9f0\uaa50\uabf0"
    "\U000104a0\U00010d30\U00011066\U000110f0\U00011136\U000111d0\U000112f0\U00011450\U000114d0\U00011650"
    "\U000116c0\U00011730\U000118e0\U00011950\U00011c50\U00011d50\U00011da0\U00016a60\U00016ac0\U00016b50"
    "\U0001e140\U0001e2f0\U0001e950"
)

LOOK_ALIKES: Final[dict[int, str]] = {ord(char): latin for latin, chars in _BY_LATIN.items() for char in chars} | {
    ord(zero) + value: str(value) for zero in _ZEROS for value in range(10)
}
"""For `str.translate`, after case folding and the removal of diacritics."""
