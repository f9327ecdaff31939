"""Words put back into the spelling that the rules know: glued, shortened, and long ones with one letter wrong."""

from __future__ import annotations

import re

# Long words that mean it and resemble no others.
_LONG = (
    "unsubscribe",
    "unsubscribed",
    "unsubscribing",
    "desabonner",
    "desabonnement",
    "desabonnez",
    "desinscrire",
    "desinscription",
    "desinscrivez",
    "desuscribir",
    "desuscribirme",
    "desuscripcion",
    "desinscribir",
    "descadastrar",
    "descadastre",
    "descadastrem",
    "desinscrever",
    "abbestellen",
    "disiscrivi",
    "disiscrivermi",
    "disiscrizione",
    "disiscrivetemi",
    "uitschrijven",
    "uitschrijving",
    "wyrejestruj",
    "zrezygnowac",
    "отписаться",
    "отпишитесь",
    "отписываюсь",
    "berlangganan",
    "istemiyorum",
    "gondermeyin",
    "advertising",
    "promotions",
    "messages",
    "notifications",
    "publicidad",
    "publicidade",
    "mensajes",
    "mensagens",
    "publicite",
    "publicites",
    "messaggi",
    "pubblicita",
    "nachrichten",
    "werbung",
    "berichten",
    "wiadomosci",
    "рассылку",
    "рассылки",
    "сообщения",
    "рекламу",
)
_SHORT = {
    "d": "de",
    "q": "que",
    "k": "que",
    "x": "por",
    "vcs": "voces",
    "jveux": "je veux",
    "jveu": "je veux",
    "chuis": "je suis",
    "dnt": "dont",
    "dont": "dont",
    "wanna": "want to",
    "gimme": "give me",
    "stahp": "stop",
    "stp": "stop",
    "anymor": "anymore",
    "nomore": "no more",
    "stopit": "stop it",
    "nomas": "no mas",
    "bitteaufhoren": "bitte aufhoren",
    "hrw": "how",
}
_GLUED = re.compile(
    r"\b(не|нет|nie|nao|dont|do not|no|non|не надо)(хоч|надо|нужн|пиш|присыл|шлите|отправ|беспоко|chc|pisz|pisac|"
    r"zycz|wysyl|"
    r"quiero|queremos|quero|querem|voglio|want|send|text|write|messag|contact)"
    r"|\b(stop)(send|text|messag|spam|writ)"
)
_ELIDED = re.compile(
    r"\b([mdlnjst]|qu)(?=(?:envoy|ecri|embet|emmerd|ennu|inond|interess|oppos|inscri|abonn|arret|enlev|effac|autoris|"
    r"annul"
    r"|annonc|importun|harcel|appel|utilis)\w)"
    r"|\b(dell|all|nell|sull|un|l)(?=(?:offert|elenco|annunci|invio|iscri|utilizz|altr)\w)"
)


def spelled(message: str) -> str:
    """A message (as `normalise` writes it) in the spelling of the rules."""
    words = [_SHORT.get(word) or (_known(word) if len(word) >= 7 else word) for word in message.split()]
    message = _GLUED.sub(lambda found: f"{found[1] or found[3]} {found[2] or found[4]}", " ".join(words))
    return _ELIDED.sub(lambda found: found[0] + " ", message)


def _known(word: str) -> str:
    """The long word this one misses by a letter left out, added, changed or swapped; else the word itself."""
    if word.startswith(_LONG):
        return word
    return next((_NEAR[one] for one in (word, *_without_one(word)) if one in _NEAR), word)


def _without_one(word: str) -> list[str]:
    return [word[:at] + word[at + 1 :] for at in range(len(word))]


_NEAR = {shorter: word for word in _LONG for shorter in (word, *_without_one(word))}
