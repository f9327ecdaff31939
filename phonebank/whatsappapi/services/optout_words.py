"""The words by which people say stop and start, and what they are answered, by language.

`strong` words mean it as the whole message or as its first word; `weak` words (that also begin harmless sentences) only
as the whole message; `phrases` anywhere in it. Users may add words, never remove these.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Language:
    """What one language says; `reply` confirms a stop and names the way back."""

    strong: str
    weak: str
    phrases: str
    start: str
    reply: str


# Words are separated by spaces, phrases by "/".
LANGUAGES = {
    "en": Language(
        "stop stopall stops stopping unsubscribe unsub optout unsubscribed quit revoke",
        "cancel end remove off block spam cease / opt out / no more / never again / stop all / cancel all / end all "
        "/ not interested / go away",
        "unsubscribe me/opt me out/opt out of/i want to opt out/remove me/take me off/leave me alone/"
        "stop it now/no more messages/no more texts/no more msgs/no more spam/cancel my subscription/"
        "cancel the subscription/cancel subscription/cancel messages/cancel these messages/end messages/"
        "lose my number/delete my number/remove my number/wrong number stop/not to be contacted/"
        "do not want these messages/do not want your messages/do not want any more messages/"
        "dont want these messages/dont want your messages/dont want any more messages/dont want to receive/"
        "do not want to receive/i did not sign up/i didnt sign up/report you for spam/reported as spam",
        "start unstop subscribe resubscribe resume optin / opt in / opt me in",
        "You will receive no more messages from us. Reply START if you change your mind.",
    ),
    "fr": Language(
        "arret arreter arretez desabonner desabonnement desinscrire desinscription stopper desabonnez desinscrivez",
        "fin annuler resilier / me desabonner / me desinscrire / stop pub",
        "arretez de/arrete de m/arrête de m'/arretez de m'/me desabonner/me desinscrire/desabonnez moi/"
        "desinscrivez moi/plus de messages/"
        "plus de message/ne plus recevoir/ne m ecrivez plus/ne m'écrivez plus/ne m'écris plus/ne m envoyez plus/"
        "ne m'envoyez plus/ne me contactez plus/"
        "laissez moi tranquille/retirez moi/supprimez mon numero/enlevez moi",
        "reprendre reabonner demarrer",
        "Vous ne recevrez plus de messages de notre part. Répondez START si vous changez d'avis.",
    ),
    "es": Language(
        "desuscribir desuscribirme desuscribirse desuscripcion desinscribir desinscribirme",
        "baja alto parar para pare paren cancelar basta eliminar salir fin / darse de baja / dar baja / no mas / ya "
        "no mas / nunca mas",
        "dar de baja/darme de baja/deme de baja/dame de baja/denme de baja/darse de baja/solicito la baja/"
        "quiero la baja/no mas mensajes/no quiero mas mensajes/no quiero recibir/no deseo recibir/deje de escribir/"
        "deja de escribir/dejen de escribir/dejen de enviar/deja de enviar/deje de enviar/no me escriba/no me escriban/"
        "no me escribas/no me contacte/no me contacten/no me manden/no me envien/no me mandes/no me molesten/"
        "no me moleste/cancelar suscripcion/cancelar la suscripcion/borren mi numero/borra mi numero/"
        "eliminen mi numero",
        "alta reanudar suscribirme empezar / dar de alta",
        "No recibirá más mensajes nuestros. Responda START si cambia de opinión.",
    ),
    "pt": Language(
        "descadastrar descadastre descadastramento desinscrever",
        "sair parar pare cancelar remover chega fim basta / quero sair",
        "quero sair da/quero sair desta/quero sair dessa/me descadastre/me tire da lista/me tira da lista/"
        "tirar meu numero/nao quero mais receber/"
        "nao quero receber/nao desejo receber/pare de enviar/parem de enviar/para de mandar/parem de mandar/"
        "pare de mandar/nao me mande/nao me mandem/nao me envie/nao me enviem/cancelar inscricao/remova meu numero/"
        "remover meu numero/sem mais mensagens/chega de mensagens/deixem me em paz/me deixe em paz",
        "voltar reativar iniciar retomar",
        "Você não receberá mais mensagens nossas. Responda START se mudar de ideia.",
    ),
    "de": Language(
        "stopp stoppen abmelden abbestellen abmeldung austragen",
        "ende beenden kündigen abbrechen aufhoeren aufhören schluss",
        "bitte abmelden/mich abmelden/mich abzumelden/melden sie mich ab/meldet mich ab/keine nachrichten mehr/"
        "keine weiteren nachrichten/keine werbung/nicht mehr schreiben/nicht mehr anschreiben/nicht mehr kontaktieren/"
        "schreiben sie mir nicht/schreibt mir nicht/schreib mir nicht/lassen sie mich in ruhe/lasst mich in ruhe/"
        "lass mich in ruhe/hören sie auf/hoeren sie auf/hört auf/hör auf/nehmen sie mich aus/"
        "löschen sie meine nummer/meine nummer löschen/aus dem verteiler/newsletter abbestellen",
        "starten anmelden fortsetzen",
        "Sie erhalten keine Nachrichten mehr von uns. Antworten Sie START, wenn Sie es sich anders überlegen.",
    ),
    "it": Language(
        "annulla disiscrivi disiscrivimi disiscrizione cancellami disiscrivermi",
        "ferma fermati basta esci cancella / annulla iscrizione",
        "non scrivetemi/non scrivermi/non scrivermi piu/smettete di/smettila di/smetti di scriver/non voglio ricevere/"
        "non voglio piu/non desidero ricevere/non inviatemi/non mandatemi/non mandarmi/basta messaggi/niente messaggi/"
        "toglietemi/toglimi dalla/cancellate il mio numero/cancella il mio numero/lasciatemi in pace/"
        "annulla iscrizione/"
        "annullare l'iscrizione",
        "riprendi iscrivimi inizia",
        "Non riceverà più nostri messaggi. Risponda START se cambia idea.",
    ),
    "nl": Language(
        "afmelden uitschrijven afmelding uitschrijving",
        "einde opzeggen stoppen annuleren",
        "meld mij af/meld me af/schrijf mij uit/schrijf me uit/mij afmelden/me afmelden/geen berichten meer/"
        "geen berichtjes meer/niet meer berichten/niet meer appen/niet meer sturen/laat me met rust/"
        "laat mij met rust/verwijder mijn nummer/wil me uitschrijven/haal me van/stuur me geen/stuur mij geen/"
        "geen reclame",
        "aanmelden hervatten",
        "U ontvangt geen berichten meer van ons. Antwoord START als u zich bedenkt.",
    ),
    "tr": Language(
        "durdur durdurun iptalet",
        "dur iptal ret çık son yeter / iptal et",
        "mesaj atma/mesaj atmayın/mesaj atmayin/mesaj gönderme/mesaj göndermeyin/mesaj istemiyorum/almak istemiyorum/"
        "abonelikten çık/aboneliği iptal/aboneligimi iptal/listeden çıkar/listeden çıkarın/numaramı sil/"
        "beni rahatsız etme/"
        "beni rahatsız etmeyin/yazmayın bana/bana yazmayın/bana yazma",
        "başlat devam",
        "Size artık mesaj göndermeyeceğiz. Fikriniz değişirse START yazın.",
    ),
    "ru": Language(
        "стоп отписаться отпишите отписка отписать отпиши отписываюсь",
        "отмена отменить хватит прекратите прекрати stop хватит / отказ",
        "не пишите/не пиши мне/больше не пиши/не присылайте/не присылай/не отправляйте/не отправляй/"
        "не беспокойте меня/не беспокойте нас/больше не беспокойте/"
        "прекратите писать/прекратите присылать/хватит писать/хватит присылать/хватит слать/перестаньте/"
        "отпишите меня/хочу отписаться/удалите мой номер/уберите меня/без рассылки/отказываюсь от рассылки/"
        "не хочу получать",
        "старт подписаться возобновить",
        "Мы больше не будем вам писать. Если передумаете, ответьте START.",
    ),
    "uk": Language(
        "стоп відписатися відписатись відпишіть відписка відпишись",
        "скасувати досить припиніть годі",
        "не пишіть/не пиши мені/не надсилайте/не надсилай/не турбуйте/припиніть писати/досить писати/відпишіть мене/"
        "хочу відписатися/хочу відписатись/видаліть мій номер/не хочу отримувати",
        "почати підписатися",
        "Ми більше не писатимемо вам. Якщо передумаєте, відповідайте START.",
    ),
    "pl": Language(
        "wypisz wypisać wypisuje rezygnuję wyrejestruj",
        "koniec anuluj zatrzymaj dość rezygnacja przestań",
        "wypisz mnie/proszę mnie wypisać/chcę się wypisać/nie pisz do mnie/nie piszcie/proszę nie pisać/"
        "nie wysyłaj/nie wysyłajcie/nie chcę otrzymywać/przestań pisać/przestańcie/usuń mój numer/usuńcie mój numer/"
        "żadnych wiadomości/dajcie mi spokój",
        "wznów zapisz",
        "Nie będziemy już do Ciebie pisać. Odpowiedz START, jeśli zmienisz zdanie.",
    ),
    "ro": Language(
        "dezabonare dezabonez dezabonati dezabonează",
        "oprire opriti anulare",
        "vreau sa ma dezabonez/ma dezabonez/dezabonati ma/nu mai trimiteti/nu mai trimite/nu imi mai scrieti/"
        "nu mai vreau mesaje/nu doresc sa primesc/nu mai doresc/stergeti numarul/lasati ma in pace/fara mesaje",
        "reabonare porneste",
        "Nu veți mai primi mesaje de la noi. Răspundeți START dacă vă răzgândiți.",
    ),
    "cs": Language(
        "odhlásit odhlaste odhlášení odhlásit",
        "konec zrušit přestaňte",
        "odhlaste mě/chci se odhlásit/nepište mi/už mi nepiš/nepiš mi/neposílejte/neposílej mi/nechci dostávat/"
        "žádné zprávy/smažte moje číslo/přestaňte psát/přestaňte mi",
        "přihlásit obnovit",
        "Už vám nebudeme psát. Pokud si to rozmyslíte, odpovězte START.",
    ),
    "sv": Language(
        "avregistrera stoppa avprenumerera avsluta",
        "sluta slut avbryt",
        "sluta skicka/sluta skriva/sluta messa/skicka inte/skriv inte till/inga fler meddelanden/inga fler sms/"
        "ta bort mitt nummer/"
        "ta bort mig/vill inte ha fler/vill inte ha meddelanden/vill inte ha sms/lämna mig ifred/avregistrera mig",
        "starta återuppta",
        "Du får inga fler meddelanden från oss. Svara START om du ångrar dig.",
    ),
    "da": Language(
        "afmeld afmeldes frameld",
        "stands slut afbryd annuller slutt avslutt",
        "afmeld mig/stop med at/stopp å/slutt å sende/send ikke/skriv ikke til/ikke flere beskeder/"
        "ingen flere meldinger/"
        "ikke flere meldinger/slet mit nummer/slett nummeret mitt/fjern mig/fjern meg/meld meg av/lad mig være/"
        "la meg være",
        "tilmeld genoptag",
        "Du får ikke flere beskeder fra os. Svar START, hvis du fortryder.",
    ),
    "fi": Language(
        "lopeta peruuta lopettakaa",
        "riittää",
        "älä lähetä/älkää lähettäkö/en halua viestejä/en halua saada/ei enää viestejä/poistakaa numeroni/"
        "poista numeroni/"
        "poistakaa minut/lopettakaa viestien/lopeta viestien",
        "aloita jatka",
        "Et saa meiltä enää viestejä. Vastaa START, jos muutat mielesi.",
    ),
    "hu": Language(
        "leiratkozás leiratkozom leiratkozni leiratkozas",
        "állj elég lemondás stop vége",
        "leiratkozom/le akarok iratkozni/ne írjanak/ne írj/ne írjatok/ne küldjenek/ne küldj/ne küldjetek/"
        "nem kérek több/"
        "töröljék a számomat/töröld a számomat/hagyjanak békén/nem szeretnék több",
        "feliratkozás folytatás",
        "Nem küldünk Önnek több üzenetet. Ha meggondolja magát, válaszoljon: START.",
    ),
    "el": Language(
        "διαγραφή απεγγραφή σταματήστε σταματήστε",
        "στοπ σταμάτα τέλος ακύρωση",
        "μη μου στέλνετε/μην μου στέλνετε/μη μου στέλνεις/μην στέλνετε/δεν θέλω μηνύματα/δεν θέλω άλλα/σταματήστε να/"
        "σταμάτα να/διαγράψτε με/διαγράψτε τον αριθμό",
        "έναρξη εγγραφή",
        "Δεν θα λαμβάνετε άλλα μηνύματα από εμάς. Απαντήστε START αν αλλάξετε γνώμη.",
    ),
    "ar": Language(
        "توقف أوقف ايقاف إيقاف توقفوا أوقفوا",
        "إلغاء الغاء قف كفى ستوب كفاية / الغاء الاشتراك",
        "الغاء الاشتراك/إلغاء الاشتراك/الغاء اشتراكي/الغي اشتراكي/لا ترسل/لا ترسلوا/لا تراسلني/لا تراسلوني/"
        "عدم الارسال/لا أريد رسائل/لا اريد رسائل/لا أريد استلام/لا اريد استقبال/توقفوا عن/توقف عن/اوقفوا الرسائل/"
        "احذف رقمي/احذفوا رقمي/ازالة رقمي/لا تزعجني/لا تزعجوني",
        "ابدأ ابدا اشتراك استئناف",
        "لن تصلك رسائل أخرى منا. أرسل START إذا غيّرت رأيك.",
    ),
    "fa": Language(
        "لغو لغو۱۱ توقف نفرستید نفرستین",
        "بس انصراف کنسل استاپ",
        "لغو اشتراک/لغو عضویت/پیام ندهید/پیام نده/پیام نفرستید/پیام نفرست/دیگه پیام/دیگر پیام/مزاحم نشوید/مزاحم نشو/"
        "شماره من را حذف/شماره منو حذف/نمیخوام پیام/نمی خواهم پیام",
        "شروع",
        "دیگر پیامی از ما دریافت نمی‌کنید. اگر نظرتان عوض شد START بفرستید.",
    ),
    "he": Language(
        "הסר הסרה הסירו תפסיקו הפסק",
        "עצור די ביטול בטל סטופ להסיר",
        "הסירו אותי/תסירו אותי/תוריד אותי/תורידו אותי/להסיר אותי/לא לשלוח/אל תשלחו/אל תשלח לי/תפסיקו לשלוח/תפסיק לשלוח/"
        "לא מעוניין בהודעות/לא מעוניינת בהודעות/לא רוצה הודעות/לא רוצה לקבל/תמחקו את המספר/בטל מנוי",
        "התחל הצטרף",
        "לא תקבלו מאיתנו הודעות נוספות. השיבו START אם תשנו את דעתכם.",
    ),
    "hi": Language(
        "रोकें रोको बंद स्टॉप बन्द",
        "रुको रुकें बस रद्द / band karo / band kar do / band kijiye / बंद करो",
        "बंद करो/बंद करें/बंद कीजिए/बंद कर दो/बन्द करो/मैसेज मत/मैसेज न भेजें/संदेश मत/संदेश न भेजें/मत भेजो/मत भेजिए/"
        "परेशान मत/message band/msg band/message mat/msg mat/messages band/mat bhejo/mat bhejiye/na bhejo/na bhejen/"
        "band karo message/band karo ye/pareshan mat/meri number hata/mera number hata/मेरा नंबर हटा",
        "शुरू चालू / shuru karo / chalu karo",
        "अब आपको हमारी ओर से कोई संदेश नहीं मिलेगा। मन बदले तो START लिखें।",
    ),
    "ur": Language(
        "بند روکیں روکو",
        "بس منسوخ اسٹاپ / بند کرو / بند کریں",
        "بند کرو/بند کریں/بند کر دیں/بند کردیں/"
        "میسج مت/میسج نہ بھیج/میسج نہ کر/پیغام مت/پیغام نہ بھیج/پیغام نہ کر/مت بھیجو/مت بھیجیں/نہ بھیجیں/تنگ مت/"
        "تنگ نہ کریں/میرا نمبر ہٹا",
        "شروع جاری",
        "اب آپ کو ہماری طرف سے کوئی پیغام نہیں ملے گا۔ ارادہ بدلے تو START لکھیں۔",
    ),
    "bn": Language(
        "বন্ধ থামুন থামাও স্টপ",
        "বাতিল থামো",
        "বন্ধ করুন/বন্ধ করো/বন্ধ কর/মেসেজ দিবেন না/মেসেজ দেবেন না/মেসেজ পাঠাবেন না/আর মেসেজ/আর পাঠাবেন না/"
        "বিরক্ত করবেন না/"
        "message diben na/msg diben na/message bondho/bondho koren/bondho korun",
        "শুরু চালু",
        "আপনি আমাদের কাছ থেকে আর কোনো বার্তা পাবেন না। মত বদলালে START লিখুন।",
    ),
    "id": Language(
        "berhenti hentikan stopkan",
        "batal cukup keluar henti batalkan / berhenti langganan",
        "berhenti langganan/berhenti berlangganan/jangan kirim/jangan hubungi/jangan chat/jangan wa/jangan ganggu/"
        "tolong berhenti/hapus nomor/tidak mau menerima/tidak ingin menerima/tak mahu terima/jangan hantar/"
        "tak nak terima/padam nombor/stop kirim/stop hantar/gak mau dikirim/keluarkan saya",
        "mulai mula lanjut langganan",
        "Anda tidak akan menerima pesan lagi dari kami. Balas START jika berubah pikiran.",
    ),
    "vi": Language(
        "",
        "dừng ngừng hủy huỷ thôi / huỷ đăng ký / hủy đăng ký / tu choi / từ chối",
        "hủy đăng ký/huỷ đăng ký/đừng gửi/đừng nhắn/đừng liên hệ/ngừng gửi/ngừng nhắn/dừng gửi/không nhận tin/"
        "không muốn nhận/đừng làm phiền/xóa số/huy dang ky/dung gui/dung nhan/khong nhan tin/khong muon nhan",
        "/ bắt đầu / đăng ký / tiếp tục",
        "Bạn sẽ không nhận thêm tin nhắn từ chúng tôi. Trả lời START nếu đổi ý.",
    ),
    "th": Language(
        "",
        "หยุด ยกเลิก พอ เลิก สต็อป",
        "หยุดส่ง/เลิกส่ง/ยกเลิกการสมัคร/ยกเลิกข้อความ/ไม่ต้องส่ง/อย่าส่ง/อย่าทักมา/ไม่รับข่าวสาร/ไม่ต้องการรับ/"
        "ไม่อยากรับ/ลบเบอร์/เลิกรบกวน/อย่ารบกวน",
        "เริ่ม สมัคร",
        "คุณจะไม่ได้รับข้อความจากเราอีก หากเปลี่ยนใจ ตอบ START",
    ),
    "zh": Language(
        "td",
        "退订 退訂 停止 取消 停 拒收 退订信息",
        "退订/退訂/取消订阅/取消訂閱/停止发送/停止發送/不要再发/不要再發/别再发/別再發/别发了/不要发信息/不要给我发/"
        "不要再联系/不要再聯絡/请勿打扰/請勿打擾/不要打扰我/停止发消息/拒收/不想收到/不想再收到/删除我的号码",
        "开始 開始 订阅 訂閱 恢复",
        "您将不再收到我们的消息。如改变主意，请回复 START。",
    ),
    "ja": Language(
        "",
        "停止 解除 配信停止 ストップ やめて 退会 登録解除 中止 止めて",
        "配信停止/配信を停止/登録解除/送らないで/送信しないで/連絡しないで/メッセージ不要/配信不要/やめてください/"
        "停止してください/もう送ら/受け取りたくない/解除してください/迷惑です",
        "再開 開始 登録",
        "今後、当方からのメッセージは届きません。再開するには START と返信してください。",
    ),
    "ko": Language(
        "수신거부 구독취소 수신거절 구독해지",
        "중지 그만 거부 정지 해지 취소 스톱 중단",
        "수신거부/수신 거부/보내지 마/보내지마/연락하지 마/연락하지마/문자 그만/메시지 그만/그만 보내/그만보내/"
        "구독 취소/구독취소/구독 해지/받고 싶지 않/받기 싫/차단해/번호 삭제",
        "시작 재개 구독",
        "더 이상 메시지를 보내지 않습니다. 마음이 바뀌시면 START라고 답장해 주세요.",
    ),
    "sw": Language(
        "acheni simamisha sitisha jiondoe jitoe",
        "ondoa komesha tosha",
        "acha ujumbe/acha sms/acha kutuma/usinitumie/msinitumie/acha kunitumia/acheni kunitumia/"
        "sitaki ujumbe/sitaki meseji/niondoe/niondoeni/"
        "futa namba yangu/msinisumbue/usinisumbue",
        "anza endelea jiunge",
        "Hutapokea tena ujumbe kutoka kwetu. Jibu START ukibadilisha mawazo.",
    ),
    "tl": Language(
        "itigil ihinto tigilan",
        "tigil hinto",
        "huwag na mag text/huwag na magtext/huwag mo na akong/huwag nyo na akong/itigil nyo/itigil niyo/itigil mo/"
        "tigilan nyo/ayoko na ng/ayaw ko na ng/wag na mag/wag nyo na/wag mo na akong/alisin ang number/"
        "burahin ang number",
        "simulan ituloy",
        "Hindi ka na makakatanggap ng mensahe mula sa amin. Mag-reply ng START kung magbago ang isip mo.",
    ),
}

# Stripped from both ends before a message is compared: they change nothing about what is wanted.
POLITE = (
    "please pls plz kindly hi hello hey ok okay thanks thank you thx now immediately guys sir madam team already just "
    "por favor hola gracias ya obrigado obrigada oi ola bonjour merci svp stp s il sil vous plait "
    "bitte danke hallo sofort ciao grazie per favore lutfen merhaba tesekkurler пожалуйста спасибо здравствуйте привет "
    "будь ласка дякую prosze dziekuje czesc vă rog va rog multumesc prosim dekuji tack tak takk kiitos koszonom kerem "
    "παρακαλω ευχαριστω من فضلك رجاء شكرا لطفا ممنون مرسي בבקשה תודה कृपया धन्यवाद जी plz bhai ji sir "
    "براہ کرم شکریہ দয়া করে ধন্যবাদ tolong mohon terima kasih tafadhali asante po paki alsjeblieft aub dank je"
)

# Harmless openings with a strong word.
HARMLESS = re.compile(
    r"(?:stop|stops|stopping|quit)(?: (?:by|in|at|over|here|there|outside|sign|light|watch|loss)\b| the (?:car|bus|"
    r"train|presses|clock|"
    r"wash\w*|machine|music|program\w*|timer|water|oven|engine|delivery|order))"
    r"|arretez vous (?:a|au|la|devant)\b|stopp (?:die|den|mal)\b|stop (?:je|er|het|de|een|dat|in)\b"
    r"|quit (?:my job|smoking)"
    r"|stop (?:and|or) (?:start|go|shop)"
)
ENGLISH = re.compile(
    r"\bplease stop(?! (?:the|at|by|in|on|near|for|a|an|if|when|my)\b)"
    r"|\b(?:stop|quit|cease|no more|enough) (?:\w+ ){0,3}?(?:text|messag|msg|contact|writ|send|sent|spam|bother|"
    r"harass|annoy|"
    r"advert|ads\b|promot|market|whatsapp)\w*"
    r"|\b(?:do not|dont|don t|never|not to|wish you would not) (?:ever )?(?:text|message|msg|contact|write|call|bother|"
    r"disturb|spam|whatsapp|email)(?: to)?(?:$| (?:me|us|again|any ?more|this number|my))"
    r"|\b(?:do not|dont|don t|never) send(?: me| us)?(?: \w+){0,2} (?:any ?more|again|messages?|texts?|msgs?|spam|ads?|"
    r"stuff like this|these)\b"
)

_MARKS = re.compile("[\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06ed]")
_LETTERS = str.maketrans(
    {"ı": "i", "ى": "ي", "ی": "ي", "ک": "ك", "ة": "ه", "ہ": "ه", "ٱ": "ا", "ё": "е", "ø": "o", "ł": "l"}
)
_THIRD = re.compile(r"(.)\1{2,}")
_UNSPACED = re.compile("[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]")


def fold(text: str) -> str:
    """One spelling for each letter, punctuation left as it is."""
    text = unicodedata.normalize("NFKC", text).casefold()
    text = _MARKS.sub("", unicodedata.normalize("NFD", text))
    return unicodedata.normalize("NFC", text).translate(_LETTERS)


def normalise(text: str) -> str:
    """Letters and digits only, one spelling for each word: NFKC, case folded, without marks, emoji and punctuation."""
    kept = []
    for char in fold(text):
        kind = unicodedata.category(char)
        kept.append(char if kind[0] in "LMN" else "" if kind == "Cf" or char in "'’" else " ")
    words = _THIRD.sub(r"\1", "".join(kept)).split()
    if len(words) > 2 and all(len(word) == 1 for word in words):  # s t o p
        words = ["".join(words)]
    return " ".join(words)


def is_unspaced(text: str) -> bool:
    """Whether its script puts no spaces between words."""
    return _UNSPACED.search(text) is not None
