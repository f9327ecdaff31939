"""How people ask to stop in whole sentences: what is refused beside what it is about, by language.

Patterns see a message as `normalise` writes it (no accents, no apostrophes, one space between words). Neither part
alone is enough: "stop" may be a bus stop, "message" a question about one.
"""

from __future__ import annotations

import re

_FEW = r"(?: \w+){0,3} "  # up to three words between
_ONE = r"(?: \w+)? "

_PATTERNS = {
    "en": (
        r"\b(?:take|remove|delete|erase|scratch|drop)" + _FEW + r"(?:off|from)" + _ONE
        + r"(?:\w+ )?(?:list|database|system|contacts)\b"
        r"|\b(?:dont|do not|no longer|never) (?:want|wish|care)(?: to)?" + _FEW
        + r"(?:messages|texts|promotions?|offers|ads|adverts|newsletters?|marketing|spam)\b"
        r"|\b(?:like|want|wish|need) to (?:unsubscribe|opt out|be removed|be taken off)\b"
    ),
    "fr": (
        r"\bne plus (?:me |m)?(?:envoy|ecri|contact|recev|etre contact|solicit|sollicit)\w*"
        r"|\b(?:ne|n) ?(?:veux|souhaite|desire|voudrais) plus (?:recevoir|de vos|de messages|etre contact)\w*"
        r"|\b(?:retir|enlev|supprim|effac|ray)(?:ez|er|e)\b" + _FEW + r"(?:liste|fichier|base|numero)\b"
        r"|\b(?:cessez|cesse|stoppez|arretez|arrete) (?:de |d)?(?:me |m)?(?:envoy|ecri|contact|harcel|spam)\w*"
        r"|\bplus de (?:pub|publicite|sms|textos|promos?)\b"
    ),
    "es": (
        r"\b(?:borr|quit|elimin|sac|remuev)(?:enme|eme|ame|adme|arme|en|e)\b" + _FEW + r"(?:lista|base|numero"
        r"|registros?)\b"
        r"|\b(?:dej|par|ces)(?:en|a|e|ad) de (?:mand|envi|escrib|contact|molest)\w*"
        r"|\bno mas (?:publicidad|mensajes|promociones|spam|ofertas)\b"
        r"|\b(?:quiero|quisiera|deseo|necesito) (?:desuscrib|desinscrib|cancelar la suscripcion)\w*"
        r"|\bya no (?:quiero|deseo) (?:recibir|mas|sus mensajes)\b"
    ),
    "pt": (
        r"\b(?:parem|pare|para|deixem|deixe) de (?:me )?(?:mand|envi|incomod|escrev|perturb)\w*"
        r"|\b(?:me )?(?:tira|tire|tirem|remove|remova|retire|retirem|exclua|excluam|apaga|apaguem)\b" + _FEW
        + r"(?:lista|cadastro|numero|contatos)\b|\bme tira dessa\b"
        r"|\b(?:quero|gostaria de|desejo|preciso) (?:sair d[aeo]s?\w*|cancelar a inscricao|me descadastrar"
        r"|descadastrar)\b"
        r"|\bcancela (?:a |minha )?inscricao\b|\bme deixem em paz\b|\bchega de (?:propaganda|spam|promocoes)\b"
        r"|\bnao (?:me )?(?:envie|enviem|mande|mandem)(?: \w+)? (?:mais|nada)\b"
    ),
    "de": (
        r"\b(?:loschen|streichen|entfernen|nehmen|nehmt|streicht|loscht|losch|tragen|melden)\b" + _FEW
        + r"(?:nummer|liste|verteiler|aus|ab)\b"
        r"|\b(?:schickt|schicken sie|sendet|senden sie|schick) (?:mir|uns)" + _ONE + r"?(?:nichts|keine|nix)\w*"
        r"|\b(?:wunsche|mochte|will|brauche) keine (?:weiteren |weitere )?(?:infos?|nachrichten|werbung|angebote)\b"
    ),
    "it": (
        r"\b(?:cancell|rimuov|togli|elimin|toglie)(?:atemi|etemi|ami|imi|temi|ate|ete|te|a)\b" + _FEW
        + r"(?:lista|numero|elenco|rubrica)\b"
        r"|\b(?:vorrei|voglio|desidero) (?:disiscriv\w*|cancellarmi|annullare l ?iscrizione)"
        r"|\bsmett(?:etela|etete|ila|ete|i) di (?:mand|inviar|scriver|contatt)\w*"
        r"|\bbasta (?:con )?(?:questi |questa |la )?(?:messaggi|pubblicita|spam|offerte)\b"
        r"|\bnon (?:contatt|scriv|mand|invi)(?:armi|atemi|etemi|ermi|arci)\b"
        r"|\bnon desidero (?:piu )?(?:ricever|offert)\w*"
        r"|\bcancellami\b"
    ),
    "nl": (
        r"\b(?:haal|verwijder|schrap)\b" + _FEW + r"(?:lijst|systeem|bestand|nummer)\b"
        r"|\bstuur (?:mij|me|ons) (?:niks|niets|geen)\b|\b(?:hou|houd|stop) (?:eens )?(?:op )?met\b" + _FEW
        + r"?(?:stur|app|bericht|spam)\w*"
        r"|\b(?:wil|wens|kunt|kun|graag|mij|me)\b" + _FEW + r"?(?:uitschrijven|afmelden)\b|\bgraag uitschrijven\b"
        r"|\bwens geen (?:berichten|reclame)\b|\bgeen (?:berichten|reclame) (?:meer|ontvangen|te ontvangen)\b"
    ),
    "tr": (
        r"\b(?:mesaj|reklam|sms|kampanya)\w*(?: \w+)? (?:istemiyorum|almayayim|gondermeyin|atmayin|kesin)\b"
        r"|\b(?:liste|uyelik|abonelik)\w* (?:cik|cikar|sil|iptal)\w*|\bnumarami\b(?: \w+){0,2} (?:sil|cikar)\w*"
    ),
    "ru": (
        r"\b(?:прекрати|перестан|хватит|не надо|не нужно)\w*(?: \w+){0,2} (?:писа|присыла|слать|отправля|беспоко)\w*"
        r"|\b(?:убери|удали|исключи|уберите|удалите|сотрите|вычеркн)\w*(?: \w+){0,3} (?:номер|рассылк|списк|баз)\w*"
        r"|\b(?:отключ|отмени)\w*(?: \w+)? (?:рассылк|подписк)\w*|\bоставьте меня\b|\bотписаться\b"
    ),
    "uk": (
        r"\b(?:припин|перестан|досить|не треба)\w*(?: \w+){0,2} (?:писа|надсила|турбу)\w*"
        r"|\b(?:прибер|видал|виключ)\w*(?: \w+){0,3} (?:номер|розсилк|списк|баз)\w*|\bвідписатис[яь]\b"
    ),
    "pl": (
        r"\bnie (?:pisac|piszcie|pisz|wysylac|wysylajcie)\b|\bnie (?:chce|zycze sobie)(?: \w+)? (?:wiadomosci|reklam|"
        r"dostawac|otrzymywac|smsow)\w*|\b(?:wypisz|skresl|usun|wykresl)\w*(?: \w+){0,3} (?:list|baz|numer)\w*"
        r"|\b(?:zrezygnowac|rezygnacja|rezygnuje) z (?:subskrypcji|otrzymywania|wiadomosci)\b|\bwypisanie mnie\b"
        r"|\bprzestan\w*(?: \w+){0,2} (?:pisac|wysylac|przysylac)\b|\bzadnych (?:wiecej )?(?:wiadomosci|reklam)\b"
    ),
    "ro": (
        r"\bnu mi mai (?:trimite|scrie|trimiteti|scrieti)\w*|\bnumi mai (?:trimit|scri)\w*"
        r"|\b(?:scoateti|scoate|stergeti|sterge)(?: ?ma)?(?: \w+){0,2} (?:lista|listei|numarul|baza)\b"
    ),
    "cs": r"\b(?:vyrad|vymaz|smaz|odstran)\w*(?: \w+){0,2} (?:seznam|cislo|databaz)\w*",
    "sv": (
        r"\b(?:avsluta|avbryta|saga upp) (?:min )?prenumerationen\b|\binte (?:ha|fa)(?: \w+)? (?:fler"
        r"|meddelanden|sms)\b"
    ),
    "da": (
        r"\b(?:ikke|onsker ikke|vil ikke)(?: \w+)? (?:flere|have flere|ha flere) (?:beskeder|meldinger|sms)\w*"
        r"|\b(?:fjerne|fjern|slette|slet)(?: \w+){0,2} (?:listen|nummer|nummeret)\b"
    ),
    "fi": r"\ben (?:enaa )?halua(?: \w+){0,2} (?:viesteja|mainoksia)\b|\b(?:perua|peruuttaa|lopettaa) tilauksen\b",
    "hu": r"\b(?:vegyenek|vegyetek|toroljenek|toroljetek)(?: \w+){0,2} (?:listarol|listabol|szamomat)\b",
    "el": r"\bνα διαγραφω\b|\bβγαλτε με\b|\bδιαγραψτε (?:με|τον αριθμο)\b",
    "ar": (
        r"(?:^| )(?:كفايه|كفايه|يكفي|بس) رسائل|(?:^| )(?:شيلوا|شيل|امسحوا|احذفوا|احذف|ازيلوا) (?:رقمي|اسمي)"
        r"|(?:^| )(?:ما ابي|ما ابغي|ما بدي|مش عايز|مش عاوز|لا اريد|لا ارغب)(?: \w+)? (?:رسائل|اعلانات|رسايل)"
        r"|(?:^| )بطلوا (?:تبعتو|ترسلو|رسائل)"
    ),
    "he": r"\b(?:להסיר|להוריד|למחוק)(?: \w+){0,2} (?:המספר|מהרשימה|אותי)|\bדי (?:ל|עם ה)?הודעות|\bדי להודעות",
    "fa": r"(?:حذف|پاك) (?:كنيد|كن)$|(?:پيام|تبليغ)\w*(?: \w+)? (?:نفرست|ندهيد|نديد)\w*",
    "hi": (
        r"\b(?:message|msg|massage|sms|ye|yeh)\b(?: \w+){0,2} (?:band|mat|nahi chahiye|nahin chahiye)\b"
        r"|(?:मैसेज|संदेश|मेसेज)\S*(?: \S+){0,2} (?:बंद|मत|नहीं चाहिए|नही चाहिए)|(?:परेशान|पेरशान) मत"
    ),
    "ur": r"(?:ميسج|پيغام)\S*(?: \S+){0,2} (?:بند|مت|نه كريں|نه بهيج|نہ|نهيں چاهيے|نہيں چاہيے)(?: |$)",
    "bn": r"(?:মেসেজ|বার্তা)\S*(?: \S+){0,1} (?:চাই না|দিবেন না|দেবেন না|বন্ধ)|(?:নাম্বার|নম্বর) (?:মুছ|ডিলিট|সরা)",
    "id": (
        r"\b(?:tidak|tak|gak|ga|nggak|enggak) (?:mau|mahu|ingin|nak|usah)(?: \w+)? (?:menerima|terima|dikirim"
        r"|pesan|mesej)\b"
        r"|\b(?:hapus|buang|padam|keluarkan)\b(?: \w+){0,3} (?:nomor|nombor|daftar|senarai)\b"
        r"|\bjangan (?:lagi )?(?:kirim|hubungi|chat|wa|whatsapp|ganggu|hantar|mesej|sms)\b"
    ),
    "vi": r"\b(?:khong|dung|ngung)(?: \w+)? (?:gui|nhan)(?: \w+)? (?:tin|nua)\b",
    "sw": r"\b(?:naomba )?(?:mniondoe|uniondoe|niondoe)\b|\bsitaki(?: \w+)? (?:ujumbe|meseji|sms|matangazo)\b",
    "tl": (
        r"\b(?:alis|alisin|burahin|tanggalin)\b(?: \w+){0,2} (?:number|numero)\b|^tigil na\b"
        r"|\b(?:huwag|wag) na(?: \w+){0,3} (?:mag ?text|mag ?message|mag ?send|text)\b"
        r"|\b(?:ayaw|ayoko)(?: \w+){0,4} (?:message|text|makatanggap)\w*"
    ),
    "zh": (
        r"(?:不要|别|別|勿|停止)(?:再)?(?:给我|給我|向我|继续|繼續)?(?:发|發|传|傳|推送|联系|聯絡|打扰|打擾)"
        r"|(?:从|從|把)?.{0,4}(?:名单|名單|号码|號碼).{0,4}(?:删|刪|移除|去掉|除名)"
    ),
    "ja": (
        r"(?:登録|配信|購読|メール|メッセージ).{0,4}(?:解除|停止|止め|やめ|不要|いりません|いらない)"
        r"|(?:送って|送信して|連絡して)(?:こないで|来ないで|くるな|ほしくない)|連絡(?:は|も)?(?:不要|いりません)"
        r"|(?:番号|リスト|名簿).{0,3}(?:削除|外して|消して)|なのでやめて"
    ),
    "ko": r"(?:그만|더이상|더 이상)(?: 좀)?(?: \S+)? ?보내|(?:명단|목록|리스트)에서 (?:빼|삭제|제외)|차단해",
    "th": r"(?:หยุด|เลิก|อย่า|ไม่ต้อง).{0,3}ส่ง|ลบ.{0,3}เบอร์",
}  # fmt: skip
# Languages share words ("stop", "mesej"): the first that fits names the answer, so the larger come first.
_COMPILED = [(code, re.compile(pattern)) for code, pattern in _PATTERNS.items()]


def refusal_language(message: str) -> str | None:
    """The language of a sentence (as `normalise` writes it) that asks to stop; None when it does not."""
    return next((code for code, pattern in _COMPILED if pattern.search(message)), None)
