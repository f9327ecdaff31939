"""What a cell of a consent column says: yes, no, or in its own words how somebody agreed. In doubt it is a no."""

from __future__ import annotations

import re
from functools import lru_cache

from phonebank.language import stored

SOURCE_MAX = 200
COLUMN = stored("consent column of the file: %(cell)s")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_WORD = re.compile(r"[^\s,.;:!?()/\[\]\"“”«»、。，！？]+")
_YES = _words("""
    yes y yep true t 1 x ok si sí sì s ja j jo oui sim da да так ya iya tak evet ναι כן نعم بله جی हाँ हां হ্যাঁ ஆம்
    అవును ใช่ có vâng はい 是 是的 有 네 예 oo ndiyo ano áno igen kyllä joo jah jā taip ✓ ✔ ☑ ✅
""")
# Alone, or as the first of several words: “No, thanks”, “nicht gefragt”.
_NO = _words("""
    no n nope false f 0 off nein nicht kein keine non pas sans nao não sem nunca нет не ні немає nie bez hayır hayir
    yok لا غير بدون خیر نہیں नहीं नही না இல்லை కాదు ไม่ ไม่ใช่ không chưa いいえ 否 不 没有 無 아니오 아니요 hindi hapana nahi
    nahin tidak tdk bukan belum jangan tiada nee niet geen nej nei ikke inte ej ei ne není nem nincs όχι לא არა ոչ ez nu
    fără nē
""")
# Anywhere: whoever writes one of these did not mean a yes.
_REFUSALS = _words("""
    not never none null nil without unknown undefined pending unconfirmed don't dont didn't didnt doesn't hasn't
    hasnt haven't won't refused refuses declined declines denied rejected revoked withdrawn withdrew expired
    unsubscribed unsubscribe unsub optout opted-out stop stopped blocked inactive disabled removed cancelled
    canceled missing empty abgelehnt widerrufen abgemeldet refusé retiré désabonné rechazado rechazada revocado baja
    recusado revogado cancelado rifiutato revocato ditolak menolak dicabut batal отказ отказано отозвано отписан رفض
    مرفوض अस्वीकार मना
""")
_PHRASES = re.compile(r"\bopt(?:ed|s|ing)?[ -]?out\b|\bun-?subscrib")
_NOTHING = re.compile(r"[0.,]+|n\W?a\W?|nan")


@lru_cache(maxsize=4096)  # a column says the same few things a million times
def source_of(cell: str, otherwise: str) -> str:
    """How this person agreed; empty when the cell says that they did not. `otherwise`: how all of the file agreed."""
    if not cell:
        return otherwise
    text = cell.casefold()
    words = _WORD.findall(text)
    if text.strip() in _YES or (len(words) == 1 and words[0] in _YES):
        return otherwise or (COLUMN % {"cell": cell})[:SOURCE_MAX]
    if not any(map(str.isalnum, text)) or _NOTHING.fullmatch(text.strip()):
        return ""
    if words[0] in _NO or not _REFUSALS.isdisjoint(words) or _PHRASES.search(text):
        return ""
    return cell[:SOURCE_MAX]
