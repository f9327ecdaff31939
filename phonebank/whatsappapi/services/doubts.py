"""Messages that may be refusals: no keyword and no phrase says so for sure, yet somebody should read them.

Taken as doubtful, a message only pauses its sender until a person has decided; so this may be wrong more often than
`optout.is_stop`, but not much: every mistake costs somebody's attention.
"""

from __future__ import annotations

import re

from phonebank.whatsappapi.services.optout import MOST_WORDS, is_start, is_stop
from phonebank.whatsappapi.services.optout_rules import smells
from phonebank.whatsappapi.services.optout_spelling import spelled
from phonebank.whatsappapi.services.optout_vetoes import is_about_else
from phonebank.whatsappapi.services.optout_words import HARMLESS, LANGUAGES, is_unspaced, normalise

# Words and beginnings of words, by language; each is about being written to, or angry about it.
_DOUBTS = (
    # English
    "not interest/uninterested/no interest/dont want/do not want/dont need your/who gave you/how did you get my/"
    "where did you get my/"
    "never asked/never agreed/didnt ask/did not ask/no permission/without my permission/without asking/"
    "too many message/too many text/so many message/so many text/stop it/stop this/enough already/spam/scam/harass/"
    "annoying/report you/reporting you/report this/block you/blocking you/blocked you/my lawyer/police/gdpr/"
    "data protection/privacy/delete my data/delete my info/remove my/forget me/wrong person/wrong number/leave me/"
    "get lost/go away/fuck off/piss off/shut up/not a customer/no longer a customer/why do you keep/"
    "why are you texting/why are you messaging/why do you write/quit it/cut it out/knock it off/"
    # French
    "pas interesse/plus interesse/ca suffit/ça suffit/qui vous a donne/comment avez vous eu/je n'ai rien demande/"
    "trop de messages/harcelement/signaler/cnil/rgpd/supprimez mes donnees/mauvais numero/foutez moi/ras le bol/"
    # Spanish
    "no me interesa/no estoy interesad/ya no me interesa/quien le dio mi/quien les dio mi/como consiguieron/nunca pedi/"
    "demasiados mensajes/acoso/denunci/borren mis datos/numero equivocado/ya basta/que pesados/dejadme en paz/"
    "dejenme en paz/"
    # Portuguese
    "nao tenho interesse/nao me interessa/quem passou meu/quem te deu/como conseguiu meu/nunca pedi/muitas mensagens/"
    "vou denunciar/lgpd/apaguem meus dados/numero errado/me esquece/que saco/"
    # German
    "kein interesse/keine interesse/nicht interessiert/woher haben sie meine/woher habt ihr/zu viele nachrichten/"
    "belästig/belaestig/dsgvo/datenschutz/anwalt/falsche nummer/es reicht/nervt/nervig/verschont mich/"
    # Italian
    "non mi interessa/non sono interessat/chi vi ha dato/come avete avuto/troppi messaggi/vi denuncio/garante/"
    "numero sbagliato/avete rotto/non ho chiesto/"
    # Dutch
    "geen interesse/geen belangstelling/hoe komt u aan/hoe komen jullie aan/te veel berichten/verkeerd nummer/avg/"
    "lastig/irritant/"
    # Turkish
    "ilgilenmiyorum/numaramı nereden/numarami nereden/rahatsız/rahatsiz/şikayet/sikayet/yanlış numara/kvkk/"
    # Russian, Ukrainian, Polish
    "не интересно/неинтересно/не интересует/откуда у вас мой/откуда у вас номер/достали/надоели/надоело/жалоб/"
    "пожалуюсь/не туда/ошиблись номером/спам/не цікав/звідки у вас/набридли/скарг/nie jestem zainteresowan/"
    "nie interesuje/skąd macie/skad macie/za dużo wiadomości/rodo/pomyłka/zgłoszę/nękanie/"
    # Arabic, Persian, Hebrew
    "غير مهتم/لست مهتم/من اين حصلتم/من أين حصلتم/ازعاج/إزعاج/رقم خاطئ/مزعج/علاقه ندارم/علاقه‌ای ندارم/مزاحم/"
    "شمارمو از کجا/לא מעוניין/לא מעוניינת/מאיפה יש לכם/ספאם/מטריד/טעות במספר/"
    # Hindi, Urdu, Bengali, Indonesian, Swahili, Tagalog
    "रुचि नहीं/दिलचस्पी नहीं/नंबर कहाँ से/नंबर कहां से/interest nahi/interested nahi/number kahan se/दिलचस्पी/"
    "دلچسپی نہیں/نمبر کہاں سے/আগ্রহী না/আগ্রহী নই/নাম্বার কোথায়/tidak tertarik/ga tertarik/gak tertarik/"
    "dapat nomor saya/salah nomor/terlalu banyak pesan/sina haja/sihitaji/mmepata wapi namba/hindi ako interesado/"
    "di ako interesado/saan nyo nakuha/"
    # Vietnamese, Thai, Chinese, Japanese, Korean
    "không quan tâm/khong quan tam/sao có số/nhầm số/làm phiền/ไม่สนใจ/เอาเบอร์มาจาก/รำคาญ/没兴趣/沒興趣/不感兴趣/"
    "怎么有我的/怎麼有我的/骚扰/騷擾/投诉/投訴/打错/興味ありません/興味がありません/興味ない/うざい/しつこい/"
    "番号をどこで/관심 없/관심없/번호 어떻게/스팸/신고"
)
_SPACED = [one for one in map(normalise, _DOUBTS.split("/")) if one and not is_unspaced(one)]
_UNSPACED = [one for one in map(normalise, _DOUBTS.split("/")) if one and is_unspaced(one)]
_MAYBE = re.compile(f" (?:{'|'.join(map(re.escape, sorted(_SPACED, key=len, reverse=True)))})")
_MAYBE_UNSPACED = re.compile("|".join(map(re.escape, _UNSPACED)))
# A keyword that is neither the whole message nor its first word, in a message short enough to be about it.
_STRONG = frozenset(
    word
    for language in LANGUAGES.values()
    for word in map(normalise, language.strong.split("/")[0].split())
    if len(word) > 2
)
SHORT = 7


def is_doubtful(text: str) -> bool:
    """Whether a person of ours should decide if this asks us to stop."""
    message = normalise(text[:2000])
    words = message.split()
    if not words or len(words) > MOST_WORDS or is_stop(text) or is_start(text):
        return False
    plain = spelled(message)
    is_elsewhere = is_about_else(plain, is_clear=False)
    if (not is_elsewhere and _MAYBE.search(f" {message}")) or (
        is_unspaced(message) and _MAYBE_UNSPACED.search(message)
    ):
        return True
    if not is_elsewhere and smells(plain):
        return True
    if words[0] in _STRONG and "?" in text and not HARMLESS.match(message):  # "Stop who is this?"
        return True
    if len(words) > SHORT or words[-1] not in _STRONG or words[-1] == words[0]:
        return False
    return words[-2] not in ("non", "нон")
