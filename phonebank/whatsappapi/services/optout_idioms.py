"""Further kinds of refusals, by language: threats, ways out, what need not be sent, objections, leave me alone.

Written as the classes of services/optout_grammar.py are, and joined by the rules of services/optout_rules.py.
"""

from __future__ import annotations

# pester: verbs that speak of writing to somebody and of nothing else; threat, beside next (one more, if) or a message;
# how, beside off or out (ways to end it); needless; object; alone says it by itself; get (receive); shut (switch off);
# again.
IDIOMS: dict[str, dict[str, str]] = {
    "en": {
        "again": "again",
        "get": "any_of_this any_of_these receive receiving get_this get_these get_your get_any get_all get_that "
        "be_contacted hear_from",
        "shut": "deactivat disable turn_off switch_off cancel. cancell mute",
        "pester": "txt text texting messaging contact bother pester spam harass hassl disturb annoy whatsapp bombard "
        "writing write_to write_me bugging pinging badger",
        "threat": "getting_blocked be_blocked blocked_if report_you reporting_you report_this report_it report_u "
        "report_your reporting_this block_you blocking_you block_u block_this block_your blocking_this blocking_your "
        "ill_block ill_report sue_you my_lawyer my_solicitor legal_action file_a_complaint you_blocked got_blocked "
        "you_reported",
        "next": "next. another one_more once_more again if. keep continu still",
        "how": "how. where_do where_can is_there_a_way what_do_i any_way_to",
        "off": "get_off get_rid cancel switch_off turn_off turn_these deactivat disable stop mute get_out be_removed "
        "leave. quit. make_these end. block",
        "out": "be_removed hearing_from_you be_deleted unsub opt_out stop_receiving stop_getting not_get not_receive "
        "off_this_list off_your_list off_this_thing be_taken_off not_be_on",
        "needless": "no_need neednt need_not dont_have_to dont_need_to unnecessary dont_bother no_point "
        "not_necessary spare_me spare_us save_your may_stop can_stop",
        "object": "object. i_oppose do_not_agree dont_agree disagree gdpr i_refuse we_refuse not_consent "
        "dont_consent not_for forbid",
        "alone": "stop_hearing_from you_are_blocked youre_blocked you_have_been_reported you_have_been_blocked "
        "you_were_reported lose_this_number left_in_peace not_text_me not_txt_me not_message_me not_msg_me "
        "not_contact_me not_write_me not_write_to_me not_bother_me left_alone get_lost piss_off fuck_off bugger_off "
        "buzz_off leave_us_alone leave_us_be leave_me_in_peace sod_off leave_me_the give_it_a_rest fuck_you f_off "
        "knock_it_off knock_this_off take_a_hint off_my_phone forget_me forget_my_number dont_write_me dont_text_me "
        "dont_msg_me dont_contact_me dont_message_me leave_my_phone get_out_of_my_inbox",
    },
    "es": {
        "again": "de_nuevo otra_vez nuevamente",
        "get": "recib que_me_llegue que_me_lleguen",
        "shut": "desactiv cancel apagu apaga",
        "pester": "escrib contact molest mensaj whasap wasap spam joder jodan jodas fastidi acos hostig jorob ching "
        "bombarde atosig lata. insist tocar_los",
        "threat": "bloqueado. bloqueada. denuncio denunciar denunciare denunciamos bloqueo bloquear bloqueando "
        "reporto reportar reportare reportados bloqueados",
        "next": "si. otro. otra. mas. vuelv volver sigu sigan seguis proximo proxima siguiente nuevo como_me",
        "how": "como. donde. que_hago que_tengo_que",
        "off": "cancel dejo dejar quit parar paro salir salgo elimin desactiv borr me_libro librar",
        "out": "ser_elimin ser_borrad ser_dado baja. dejar_de_recibir dejo_de_recibir no_recibir no_me_lleg desuscri "
        "no_me_manden",
        "needless": "no_hace_falta no_es_necesario no_necesit no_hay_necesidad innecesari ahorrense ahorraos "
        "ahorrate ahorrese pueden_dejar podeis_dejar no_se_molest no_os_molest",
        "object": "opongo oponer oposicion rgpd lopd me_niego rechaz no_autoriz prohib",
        "alone": "no_me_sirven_sus estan_bloquead estais_bloquead quedan_bloquead estas_bloquead los_bloquee "
        "dejenme_tranquil dejadme_tranquil dejame_tranquil dejame_en_paz dejen_en_paz dejennos_en_paz "
        "dejadnos_en_paz vayanse_a idos_a vete_a_la a_la_mierda dejen_de_jod deja_de_jod dejad_de_jod dejen_de_ching "
        "no_me_jod no_me_ching no_jodan olvidense_de_mi olvidenme olvidaos dejenos_en_paz paren_ya parad_ya "
        "ya_parenle dieran_de_baja diera_de_baja diesen_de_baja diese_de_baja doy_de_baja darnos_de_baja den_de_baja "
        "baja_de_sus baja_de_su baja_de_esta baja_de_vuestr dije_que_no dicho_que_no dejenme_de dejadme_de "
        "dejen_de_dar_la",
    },
    "pt": {
        "again": "de_novo novamente outra_vez",
        "get": "receb",
        "shut": "desativ deslig cancel",
        "pester": "escrev contact contat incomod perturb mensag chatear enche spam importun atazan aporrinh torra "
        "infern assedi",
        "threat": "eu_bloqueio denuncio denunciar denunciando bloquear bloqueando bloqueio_voc bloqueio_vc procon "
        "reporto reportar processo_voc processar anatel",
        "next": "mais_uma se. outra outro mais continu proxim voltar de_novo novamente nova. insist",
        "how": "como. onde. o_que_faco",
        "off": "sair saio saiu cancel parar paro tirar tiro desativ deslig remov bloquear livrar livro exclu",
        "out": "ser_removid ser_retirad ser_exclu cancelar_receb descadastr deixar_de_receber deixo_de_receber "
        "parar_de_receber paro_de_receber nao_receber desinscrev nao_recebo",
        "needless": "nao_precis nao_ha_necessidade nao_e_preciso nao_e_necessario desnecess dispens escus "
        "podem_parar pode_parar nao_tem_necessidade",
        "object": "oponho oponh oposicao lgpd rgpd recus nao_concordo nao_autoriz proib",
        "alone": "cancelar_receb cancelar_o_receb bloqueando_voc bloqueei_voc estao_bloquead voces_foram_bloquead "
        "ja_bloqueei saiam_do_meu sai_do_meu saiam_daqui me_erra larga_do_meu larguem_do_meu larga_meu larguem_meu "
        "se_foder se_fuder vao_a_merda vai_a_merda pro_inferno de_encher sai_fora me_deixa_quiet me_deixem_quiet "
        "me_deixem_sosseg me_deixa_sosseg deixem_me_sosseg deixa_me_sosseg para_com_isso parem_com_isso me_larga "
        "me_largu nao_enche cancela_o_envio cancelar_o_envio cancelem_o_envio cancele_o_envio me_deixa_em "
        "me_deixem_em me_deixe_em esquecam_me",
    },
    "fr": {
        "again": "a_nouveau encore de_nouveau",
        "get": "recev recoi etre_contact",
        "shut": "desactiv annul coup",
        "pester": "ecri contact recontact messag sms. textos relanc sollicit derang embet emmerd harcel spam saoul "
        "souler inond bombard importun gonfl casser enquiquin ennuy",
        "threat": "signale. signaler signalerai signalons signalement vous_bloque te_bloque je_bloque bloquer "
        "porte_plainte porter_plainte plainte denonc saisis_la",
        "next": "encore autre prochain si. continu nouveau nouvelle de_plus",
        "how": "comment. ou_dois que_dois que_faut",
        "off": "arret stop annul desactiv supprim sortir sors debarrass enlev bloquer couper",
        "out": "etre_retir etre_supprim etre_enlev desabonn desinscri plus_recevoir ne_plus ne_pas_recevoir "
        "sortir_de_cette sortir_de_votre",
        "needless": "inutile pas_besoin plus_besoin pas_la_peine plus_la_peine pas_necessaire plus_necessaire "
        "pouvez_cesser pouvez_arreter evitez abstenez abstenir",
        "object": "oppos rgpd refus cnil interdis n_autoris",
        "alone": "etes_bloqu es_bloque vous_ai_bloqu vous_ai_signal fous_moi foutez_nous fichez_nous "
        "laissez_nous_tranquil laisse_moi_tranquil lache_moi lachez_nous lachez_l degage allez_vous_faire "
        "va_te_faire vas_te_faire barrez_vous oubliez_moi oublie_moi arretez_ca laissez_nous_en_paix foutre_la_paix "
        "fiche_moi_la ne_me_recontact me_lacher veux_plus_rien_recev ne_m_ecriv",
    },
    "de": {
        "again": "nochmal erneut nochmals wieder.",
        "get": "bekomm krieg erhalt empfang kontaktiert",
        "shut": "deaktivier abstell abschalt ausschalt stell_ab stellt_ab stellen_sie",
        "pester": "schreib anschreib kontakt nerv belast belaest spam zumull zumuell zuspam behellig stalk "
        "bombardier zutext volltext anzuschreib",
        "threat": "melde_euch melde_sie melde_dich melde_das melde_ich_euch melde_ich_das erstatte_anzeige zeig_euch "
        "zeige_euch zeige_sie blockier. blockiere. euch_blockieren sie_blockieren blockiert. verklag mein_anwalt "
        "abmahn anwalt bundesnetzagentur sperre_euch gemeldet. gesperrt.",
        "next": "noch. nochmal wenn. weiter nachste falls. wieder. sonst",
        "how": "wie. wo. was_muss_ich",
        "off": "los. loszuwerd stopp abstell abbestell ausschalt deaktivier kundig raus. weg. beend",
        "out": "aus_dem_verteiler von_der_liste aus_der_liste abmeld abbestell abzumeld loswerd nicht_mehr_bekomm "
        "keine_mehr raus_aus",
        "needless": "brauchen brauchst braucht nicht_notig nicht_notwendig unnotig sparen_sie spart_euch spar_dir "
        "sparen. musst_nicht mussen_nicht mussen_uns mussen_mir musst_mir kein_bedarf keinen_bedarf uberflussig",
        "object": "widersprech widerspruch dsgvo verzicht untersag verbiet verbitt",
        "alone": "in_frieden ihr_seid_blockiert sie_sind_blockiert seid_gesperrt bist_blockiert unterlassen_sie "
        "unterlasst_das mich_raus mich_da_raus mich_hier_raus mich_da_aus lass_mich_zufrieden lasst_mich_zufrieden "
        "verpiss haut_ab hau_ab zisch_ab leck_mich leckt_mich lasst_uns_in lassen_sie_uns_in schluss_damit "
        "schluss_jetzt fickt_euch vergesst_mich loscht_mich verschont verschonen_sie nervt_nicht nerv_nicht "
        "lasst_es_sein lass_es_sein lasst_den lass_den_scheiss",
    },
    "it": {
        "again": "di_nuovo ancora un_altra_volta",
        "get": "ricev essere_contattat",
        "shut": "disattiv annull sospend",
        "pester": "scriv contatt messag disturb romper rompet tormenta assilla stress spam infastid scocci tartass "
        "importun bombard",
        "threat": "blocco_tutto blocco_tutti vi_segnalo ti_segnalo segnaler segnalar vi_blocc ti_blocc bloccare "
        "blocchero vi_denunc denuncer vi_ho_bloccat vi_ho_segnalat avvocato garante",
        "next": "altro. altra. altri. ancora se. continu prossim unaltr di_nuovo",
        "how": "come. dove. cosa_devo",
        "off": "togli togliere disattiv annull elimin bloccare ferm smett uscire esco liber cancell stop",
        "out": "essere_rimoss essere_cancell essere_tolt uscire_dalla uscire_da_quest mi_tolgo mi_cancell disiscri "
        "non_ricever smettere_di_ricever cancellarmi non_riceverne togliermi",
        "needless": "non_serve non_occorre inutile bisogno non_e_necessario evitat evitare potete_smett risparmiat "
        "fate_a_meno",
        "object": "mi_oppon oppong gdpr opposizione rifiut non_autorizz diffid",
        "alone": "non_mandate_altro non_inviate_altro siete_bloccat sei_bloccat vi_ho_bloccat lasciatemi_perder "
        "lasciami_perder lasciateci_in_pace non_rompet avete_rotto_le avete_rotto_i avete_rotto_il_c andate_a_quel "
        "vaffanculo vai_a_quel andate_affan sparite dimenticatemi dimenticatevi fatela_finita piantatela finitela "
        "mollatemi fuori_dalle_palle non_stressat",
    },
    "nl": {
        "again": "opnieuw weer. nogmaals",
        "get": "krijg ontvang",
        "shut": "uitschakel uitzetten zet_uit stopzet annuleer",
        "pester": "appen appje bericht mailen contact bellen benader schrijv lastig spam stoor storen stalk zeur "
        "irriter bombarder berichten",
        "threat": "meld_jullie meld_u. blokkeer blokker aangifte rapporteer meld_dit meld_ik klacht_in geblokkeerd",
        "next": "nog. als. weer. opnieuw volgende door. doorga blijf anders",
        "how": "hoe. waar. wat_moet_ik",
        "off": "af. vanaf stop uitzet uitzetten uitschakel kwijt opzeg annuleer blokkeer uit. onderuit",
        "out": "van_de_lijst van_jullie_lijst van_deze_lijst me_hiervoor_af me_af meld_ik_me schrijf_ik_me afmeld "
        "uitschrijv niet_meer_krijg kom_ik_hier_vanaf",
        "needless": "hoeft_niet hoeven_niet hoef_niet hoeft_ons hoeft_mij hoeft_me hoeft_geen niet_nodig overbodig "
        "bespaar geen_behoefte onnodig hoeven_ons hoef_je",
        "object": "bezwaar avg. gdpr weiger geen_toestemming verbied",
        "alone": "app_me_niet app_niet_meer zijn_geblokkeerd bent_geblokkeerd is_geblokkeerd_jullie "
        "heb_jullie_geblokkeerd stop_hier rot_op rot_toch_op flikker_op donder_op opgerot sodemieter hou_ermee_op "
        "hou_er_mee_op kap_ermee kap_er_mee kappen_nou kappen_met stop_ermee stop_hiermee houd_ermee_op "
        "houd_er_mee_op kap_hiermee laat_ons_met vergeet_me schei_uit laat_me_toch_met laat_mij_toch_met tief_op",
    },
    "pl": {
        "again": "ponownie znowu",
        "get": "dostaw otrzymyw dostac",
        "shut": "wylacz anuluj dezaktyw",
        "pester": "pisz pisa kontakt wiadomos zaczep spam nek meczy meczc truc zawrac bombard zasmieca niepoko wypis "
        "nagab",
        "threat": "zglosze zglaszam zglosimy zablokuj zablokow blokuje. blokujem uodo pozwe na_policj zlozę_skarg "
        "zloze_skarg skarge. zglaszac",
        "next": "jeszcze jesli jak. nastepn kolejn znowu ponownie dalej jezeli jeden raz.",
        "how": "jak. gdzie. co_zrobic",
        "off": "wylacz zrezygn anulow pozby przest zatrzym skasow usun odlacz zablokow uwoln",
        "out": "zostac_usun byc_usun wypis zrezygnowac nie_dostawac nie_otrzymywac przestac_dostawac przestac_otrzym",
        "needless": "nie_trzeba nie_musicie nie_musi nie_potrzeb niepotrzebn nie_ma_potrzeby zbedn darujcie daruj "
        "nie_ma_sensu",
        "object": "sprzeciw rodo. nie_wyrazam odmaw zabraniam",
        "alone": "zablokowani zablokowalem_was zablokowalam_was jestescie_zablok swiety_spokoj dajcie_mi_spok "
        "dajcie_nam_spok dajcie_mi_juz_spok dajcie_mi_wreszcie_spok odczep odwal spadaj spierdal wypierdal "
        "zostaw_mnie zostawcie_mnie dajcie_spok daj_spok przestancie skonczcie dajcie_mi_w_koncu zapomnijcie_o",
    },
    "tr": {
        "again": "tekrar yeniden",
        "get": "almak_iste almak_istem gelmesini_iste",
        "shut": "kapat iptal durdur",
        "pester": "mesaj msj yaz. yazma yazmay rahatsiz taciz spam darla bogma bunalt",
        "threat": "sikayet_ed sikayetci sikayette sikayet_edic engelliyor engellic engellec engelled engellen "
        "engellerim blokla dava_ac sikayet_olus savcilig btk. engelleye engelle.",
        "next": "daha. bir_daha devam tekrar gelirse atarsa yazarsa gonderirse hala yine eger durmadan surekli",
        "how": "nasil nereden ne_yap",
        "off": "kurtul iptal cik kapat durdur engelle sonlandir vazgec sildir",
        "out": "kurtul abonelikten listeden almamak",
        "needless": "gerek_yok gerek_kalmadi gerek_kalmad luzum_yok ihtiyac_yok ihtiyacim ihtiyacimiz gerekmiyor",
        "object": "kvkk itiraz reddediyor onaylamiyor riza riza_vermiyor",
        "alone": "engellendiniz engellendin. engelledim_sizi sizi_engelledim yeter_artik yakami_bir yakamizi_bir "
        "siktir defol rahat_ver rahat_birakin dusun_yakam pesimi_bir birakin_artik iptal_red kesin_artik kes_artik "
        "kesin_su kes_su beni_rahat artik_yeter yakamdan_dus",
    },
    "ru": {
        "again": "снова опять",
        "get": "получ",
        "shut": "отключ выключ отмен заблок",
        "pester": "пис пиш сообщ контакт беспоко спам задалб докуча тревож надоед названив доставать",
        "threat": "жалоб пожалуюсь пожалуемся заблок блокирую блокиру в_блок в_чс в_бан роскомнадзор в_суд в_фас "
        "в_полици в_спам забан",
        "next": "еще если. опять следующ снова продолж повтор хоть_раз",
        "how": "как. где. что_сделать",
        "off": "отказ отключ отмен избав убрать остановить прекрат удалить выйти выключ заблок",
        "out": "быть_удален отпис отказаться_от избавиться перестать_получ не_получ",
        "needless": "не_надо не_нужно нет_необходимости нет_смысла незачем ненужно не_стоит можете_не",
        "object": "возража против. отказыв не_согла запреща не_давал",
        "alone": "вы_в_бане вы_заблок ты_заблок вас_заблок в_бан_вас прекратите_это прекращайте_это прекрати_это "
        "отстань отстаньте отвал отъеб иди_на идите_на идите_в пошли_на пошел_на отвяж оставьте_нас забудьте_мо "
        "забудь_мо завязывай хорош_спам хорош_слать хорош_пис хватит_уже отцеп отвянь отлезь",
    },
    "ar": {
        "again": "مجددا مره_ثانيه",
        "get": "استلم استقبل استلام استقبال يوصل توصل يجين تجين تلقي",
        "shut": "اوقف الغ وقف اقفل الغاء ايقاف",
        "pester": "تزعج ازعاج راسل تراسل تكلم رسال سبام مضايق تضايق تواصل اتصال",
        "threat": "ابلغ_عن ببلغ سابلغ هبلغ بلوك احظر بحظر هحظر ساحظر حظرت اشتكي بشتكي هشتكي ساشتكي حبلغ حظركم حظر. "
        "بلغت_عن شكوى شكوي",
        "next": "لو. اذا. مره ثانيه تاني ثاني كمان مجددا ان. استمر",
        "how": "كيف ازاي شلون كيفيه وين",
        "off": "الغ اوقف وقف اطلع الغاء ايقاف اتخلص احذف امنع اقفل اخلص اشيل",
        "out": "الغاء_الاشتراك الغي_الاشتراك الغي_اشتراك",
        "needless": "لا_داعي ما_في_داعي مافي_داعي مالوش_لزوم ملوش_لزوم ما_له_داعي مو_لازم مش_لازم لا_حاجه ما_يحتاج "
        "مش_محتاج بحاجه لا_نحتاج ماله_داعي",
        "object": "اعترض ارفض اعتراض نرفض",
        "alone": "تم_حظركم تم_حظرك حظرتكم بلكتكم عملتلكم_بلوك حلوا_عن حل_عن حلو_عن اتركوني اتركني سيبوني سيبني "
        "في_حالي فكوني فكونا وشاني ابعدوا_عن ابعد_عن غوروا ما_بدي_يوصل ما_ابي_يوصل ما_ابغي_يوصل لا_توصلني كفايه_بقا "
        "كفايه_بقي انسوني ارحموني ارحمونا",
    },
    "hi": {
        "again": "dobara phir. फिर दोबारा fir.",
        "get": "मिलना पाना milna milne lena आना",
        "shut": "band बंद cancel रद्द",
        "pester": "मैसेज परेशान तंग message msg pareshan tang disturb spam sms",
        "threat": "block_kar ब्लॉक_कर report_kar रिपोर्ट_कर complaint_kar complain_kar shikayat_kar शिकायत_कर "
        "block_maar block_mar police_me",
        "next": "अगर agar phir fir dobara ek_aur एक_और फिर दोबारा अगला अगली next. roz रोज",
        "how": "कैसे kaise kese",
        "off": "बंद band hata हटा cancel रद्द stop. nikl निकल chutkara छुटकारा",
        "out": "unsubscribe अनसब्सक्राइब",
        "needless": "ज़रूरत_नहीं जरूरत_नहीं zarurat_nahi jarurat_nahi zaroorat_nahi आवश्यकता_नहीं jarurat_nhi "
        "zarurat_nhi zaroorat_nhi",
        "object": "आपत्ति aapatti विरोध",
        "alone": "block_kar_diya ब्लॉक_कर_दिया tang_mat तंग_मत tang_na block_kar_di पीछा_छोड़ picha_chhod picha_chod "
        "peecha_chhod peecha_chod pichha_chhod pichha_chod mujhe_chhod dimag_mat dimag_kharab दिमाग_मत दिमाग_खराब "
        "bhaad_me bhad_me chain_se चैन_से जान_छोड़ jaan_chhod jaan_chod jan_chhodo message_karna_band",
    },
    "id": {
        "again": "lagi",
        "get": "menerima terima dapet dapat nerima",
        "shut": "matikan nonaktif stop",
        "pester": "hubung chat. wa. sms ganggu spam kontak usik message mesej pesan.",
        "threat": "laporkan lapor. laporin blokir blok. gue_block gw_block saya_block aku_block di_block adukan "
        "diblokir",
        "next": "sekali_lagi lagi. kalau kalo klo jika masih terus berikut",
        "how": "bagaimana gimana gmn cara. caranya macam_mana camne",
        "off": "berhenti henti keluar batal matikan stop hapus hilangkan nonaktif ngilangin matiin",
        "out": "keluar_dari_grup dihapus berhenti_langganan unsub gak_dapet gak_dapat tidak_menerima",
        "needless": "tidak_perlu tak_perlu gak_perlu ga_perlu gausah gak_usah tidak_usah nggak_usah tdk_perlu "
        "ngga_usah",
        "object": "keberatan menolak tolak tidak_setuju gak_setuju",
        "alone": "udah_gue_blok sudah_saya_blok udah_gw_blok udah_aku_blok kalian_diblok berhentiin stopin_dong "
        "tinggalkan_saya pergi_sana jauhi_saya enyah biarkan_saya setop_ya stop_ya stop_dong stop_lah stop_deh "
        "berhenti_ganggu jangan_kacau jgn_kacau stop_aja stop_kak setop_kak",
    },
}
