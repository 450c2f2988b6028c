//! The words that mail programs write around other people's text, by language.
//!
//! All lower case; looked up by equality or by substring, never by pattern matching that could run away.

/// "wrote": single words.
pub(super) const WROTE: &[&str] = &[
    "wrote", "writes", "schrieb", "geschrieben", "écrit", "ecrit", "écrivait", "escribió", "escribio", "scritto",
    "scrisse", "escreveu", "schreef", "geschreven", "skrev", "kirjoitti", "napisał", "napisała", "napisał(a", "napisal",
    "napisala", "pisze", "napsal", "napsala", "napísal", "napísala", "írta", "scris", "yazdı", "yazdi", "написал", "написала",
    "написало", "пишет", "писал", "писала", "написав", "пише", "έγραψε", "έγραψαν", "napisao", "написа", "rašė", "parašė",
    "rakstīja", "kirjutas", "escriure", "skrifaði", "viết", "menulis", "escribiu", "كتب", "כתב", "כתבה", "نوشت", "लिखा",
    "píše", "пісаў", "напісаў",
    // "Quoting …:", as some programs have it.
    "quoting", "zitat", "citando", "citerar",
];

/// "wrote" in writing without spaces between words.
pub(super) const WROTE_WITHIN: &[&str] = &[
    "のメール", "書きました", "さんは書", "さんが書", "写道", "寫道", "写到", "寫到", "작성", "썼습니다", "썼다", "씀", "เขียน",
];

/// What an attribution begins with: "on" before a date.
pub(super) const ON: &[&str] = &[
    "on", "am", "le", "il", "el", "em", "op", "den", "på", "w", "dnia", "dne", "dňa", "în", "pe", "στις", "στη", "на", "в", "у",
    "vào", "pada", "kl", "dana", "около", "بتاريخ", "في", "בתאריך", "ngày", "lúc", "เมื่อ", "को", "در", "þann", "data", "kuupäev",
];

/// Short names of weekdays that stand without a full stop before a date.
pub(super) const WEEKDAYS: &[&str] = &[
    "mon", "tue", "wed", "thu", "fri", "sat", "sun", "ma", "ti", "ke", "to", "pe", "la", "su", "po", "út", "st", "čt", "pá",
    "so", "ne", "ut", "št", "pi", "di", "wo", "do", "vr", "za", "zo", "mo", "mi", "fr", "sa", "lun", "mar", "mer", "jeu",
    "ven", "sam", "dim", "mié", "jue", "vie", "sáb", "dom", "gio", "seg", "ter", "qua", "qui", "sex", "пн", "вт", "ср",
    "чт", "пт", "сб", "вс", "нд", "pon", "wt", "śr", "czw", "pt", "sob", "niedz", "man", "tir", "ons", "tor", "fre", "lør",
    "søn", "mån", "tis", "lör", "sön", "paz", "pzt", "sal", "çar", "per", "cum", "cmt", "lu", "mi", "jo", "vi", "sâ", "du",
    "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday", "τετ", "δευ", "τρι", "πεμ", "παρ",
];

/// Labels of a quoted message's header, by what they name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Label {
    Cc,
    Date,
    From,
    Other,
    Subject,
    To,
}

pub(super) const LABELS: &[(Label, &[&str])] = &[
    (
        Label::From,
        &[
            "from", "von", "de", "da", "van", "från", "fra", "lähettäjä", "od", "nadawca", "feladó", "de la", "kimden",
            "gönderen", "от", "от кого", "отправитель", "від", "від кого", "відправник", "差出人", "送信者", "送信元", "发件人",
            "发信人", "寄件者", "寄件人", "發件人", "보낸 사람", "보낸사람", "발신", "발신자", "από", "מאת", "من", "từ", "จาก", "dari",
            "expéditeur", "mittente", "remitente", "remetente", "absender", "afzender", "avsändare", "afsender", "avsender",
            "nuo", "no", "saatja", "kellelt", "šalje", "pošiljatelj", "frá", "expeditor", "kimden", "odesílatel", "odosielateľ",
        ],
    ),
    (
        Label::Date,
        &[
            "date", "datum", "dato", "dată", "sent", "date sent", "sent on", "gesendet", "gesendet am", "envoyé", "envoyé le", "envoye",
            "date d'envoi", "message du", "enviado", "enviado el", "enviado em", "enviada", "enviada em", "enviat", "fecha",
            "fecha de envío", "data", "data e ora", "inviato", "verzonden", "verzonden op", "skickat", "sendt", "lähetetty",
            "päivämäärä", "päiväys", "pvm", "wysłano", "wysłane", "data wysłania", "odesláno", "odoslané", "dátum",
            "elküldve", "küldve", "trimis", "tarih", "gönderildi", "gönderme tarihi", "gönderilme tarihi", "gönderim tarihi",
            "отправлено", "дата", "дата отправки", "відправлено", "надіслано", "送信日時", "日付", "日時", "送信", "发送时间",
            "发送日期", "发送日期", "日期", "寄件日期", "傳送時間", "發送時間", "发件时间", "时间", "時間", "보낸 날짜", "보낸날짜", "날짜",
            "일시", "발신일", "στάλθηκε", "ημερομηνία", "תאריך", "נשלח", "التاريخ", "تاريخ الإرسال", "đã gửi", "ngày", "วันที่", "ส่ง",
            "tanggal", "dikirim", "kuupäev", "saadetud", "išsiųsta", "data", "nosūtīts", "poslano", "datums", "dags", "sent at",
            "date/time", "envoyée",
        ],
    ),
    (
        Label::To,
        &[
            "to", "an", "à", "a", "para", "aan", "till", "til", "vastaanottaja", "do", "komu", "pre", "címzett", "către",
            "catre", "kime", "alıcı", "кому", "получатель", "宛先", "收件人", "收件者", "받는 사람", "받는사람", "수신", "수신자",
            "προς", "אל", "إلى", "الى", "tới", "đến", "ถึง", "kepada", "destinatario", "destinataire", "destinatário",
            "destinatari", "za", "kam", "kellele", "prima", "empfänger", "pour", "per", "i̇leti", "mottaker", "modtager",
            "mottagare", "adresat", "recipient", "recipients", "per a",
        ],
    ),
    (
        Label::Cc,
        &[
            "cc", "kopie", "kopie (cc)", "copie", "copie à", "copia", "cópia", "kopia", "kopi", "kopio", "dw", "do wiadomości",
            "kópia", "másolatot kap", "másolat", "копия", "копія", "抄送", "副本", "참조", "κοιν", "κοινοποίηση", "העתק", "bilgi",
            "bcc", "cci", "cco", "نسخة", "kópie",
        ],
    ),
    (
        Label::Subject,
        &[
            "subject", "betreff", "objet", "sujet", "asunto", "oggetto", "assunto", "onderwerp", "ämne", "emne", "aihe", "temat",
            "předmět", "predmet", "tárgy", "subiect", "konu", "тема", "件名", "主题", "主旨", "標題", "主題", "标题", "제목", "θέμα",
            "נושא", "הנדון", "الموضوع", "chủ đề", "tiêu đề", "เรื่อง", "perihal", "subjek", "teema", "tema", "naslov", "efni",
            "assumpte", "относно", "re",
        ],
    ),
    (
        Label::Other,
        &[
            "reply-to", "reply to", "répondre à", "antwort an", "responder a", "responder para", "rispondi a", "svar till",
            "svar til", "odpověď", "odpowiedz do", "vastaa", "antwoord aan", "ответить", "返信先", "回复", "回复至", "importance",
            "priority", "priorität", "wichtigkeit", "attachments", "anlagen", "pièces jointes", "sensitivity", "resent-from",
            "sender", "organization", "mailed-by", "signed-by", "message-id", "list-id", "x-priority", "responder a",
        ],
    ),
];

/// Stems of "forwarded" in the line that mail programs put above a forwarded message.
pub(super) const FORWARDED: &[&str] = &[
    "forward", "fwd", "weitergeleit", "transf", "transmis", "réexpéd", "reexp", "reenvia", "inoltr", "encaminhad", "reencaminh",
    "doorgestuur", "vidarebefordr", "videresend", "videresendt", "välite", "edelleen", "przekaz", "przesł", "přepos", "prepos",
    "továbbít", "redirec", "redirecț", "retrimis", "ilet", "i̇let", "yönlendir", "перес", "переад", "перена", "препрат", "転送",
    "转发", "轉寄", "轉發", "전달", "προωθ", "שהועבר", "הועבר", "المعاد", "محول", "chuyển tiếp", "terusan", "diteruskan", "proslij",
    "prosleđ", "posredov", "edasta", "persiųst", "pārsūt", "áframsen", "ส่งต่อ", "renvoyé", "reenviat",
];

/// Stems of "original" in such a line.
pub(super) const ORIGINAL: &[&str] = &[
    "origin", "orig", "ursprüngl", "ursprungl", "oorspronkelijk", "oprindelig", "opprinnelig", "alkuperäi", "oryginaln",
    "pierwotn", "původní", "puvodni", "pôvodn", "eredeti", "özgün", "orijinal", "исходн", "оригинал", "оригінал", "вихідн",
    "початков", "元の", "オリジナル", "原始", "原邮件", "原郵件", "원본", "αρχικ", "πρωτότυπ", "מקורי", "הודעה מקורית", "الأصلية", "gốc", "asli",
    "izvorn", "изходн", "algne", "originál", "reply message", "antwort nachricht", "d'origine",
];

/// Stems of "message" in such a line.
pub(super) const MESSAGE: &[&str] = &[
    "message", "nachricht", "mail", "bericht", "meddel", "melding", "besked", "brev", "viesti", "wiadomo", "zpráv", "zprav",
    "správ", "üzenet", "levél", "mesaj", "ileti", "i̇leti", "сообщ", "повідомл", "письм", "лист", "メッセージ", "メール", "邮件", "郵件",
    "메시지", "메일", "μήνυμα", "הודע", "رسال", "mensaje", "messaggio", "mensagem", "correo", "poruka", "sporočil", "thư", "tin nhắn",
    "pesan", "съобщ", "kiri", "laišk", "ziņ", "skilabo", "ข้อความ", "missatge", "posta",
];

/// Lines above a forwarded message that stand without dashes: how they begin.
pub(super) const FORWARD_BEGINS: &[&str] = &[
    "begin forwarded message", "begin forwarded e-mail", "anfang der weitergeleiteten", "beginn der weitergeleiteten",
    "début du message", "debut du message", "inicio del mensaje reenviado", "inizio messaggio inoltrato",
    "inizio del messaggio inoltrato", "início da mensagem encaminhada", "início da mensagem reencaminhada",
    "inicio da mensagem", "begin doorgestuurd bericht", "vidarebefordrat brev", "vidarebefordrat mejl",
    "start på videresendt", "videresendt melding", "videresendt meddelelse", "välitetty viesti", "alkaa välitetty",
    "początek przekaz", "początek przesłan", "začátek přepos", "začiatok prepos", "továbbított levél kezdete",
    "továbbított üzenet", "începutul mesajului", "începe mesajul redirec", "iletilen e-posta", "i̇letilen e-posta",
    "iletilen ileti", "i̇letilen ileti", "yönlendirilen ileti", "начало переадрес", "начало пересылаемого", "початок листа",
    "початок переадрес", "переслане повідомлення", "転送されたメッセージ", "以下に転送", "开始转发的邮件", "下面是被转发的邮件", "以下是轉寄的郵件",
    "開始轉寄", "전달된 메시지", "αρχή προωθημένου", "התחל הודעה שהועברה", "تحويل رسالة", "بدء الرسالة",
    "inici del missatge reenviat", "proslijeđena poruka", "započinje proslijeđena", "bắt đầu thư được chuyển tiếp",
    "mulai pesan terusan", "forwarded message",
];

/// "Forwarded by …" between rules.
pub(super) const FORWARDED_BY: &[&str] = &[
    "forwarded by", "weitergeleitet von", "weitergeleitet durch", "transféré par", "réexpédié par", "reenviado por", "inoltrato da",
    "encaminhado por", "doorgestuurd door", "vidarebefordrat av", "videresendt af", "videresendt av", "przekazane przez",
];

/// "Reply above this line", as helpdesks ask for.
pub(super) const REPLY_ABOVE: &[&str] = &[
    "above this line", "oberhalb dieser zeile", "über dieser zeile", "au-dessus de cette ligne", "encima de esta línea", "sopra questa linea",
    "sopra questa riga", "boven deze regel", "boven deze lijn", "acima desta linha", "ovanför denna rad", "over denne linje", "powyżej tej linii",
    "выше этой строки",
];

/// Prefixes of a forwarded message's subject, without the colon.
pub(super) const FORWARD_PREFIXES: &[&str] = &[
    "fwd", "fw", "wg", "tr", "rv", "enc", "encaminhada", "i", "inoltra", "doorst", "fwd", "vs", "vb", "vl", "pd", "vidarebefordrat",
    "i̇lt", "ilt", "továbbítás", "továbbítva", "přep", "пер", "fs", "转发", "轉寄", "전달", "προωθ", "הועבר", "إعادة توجيه", "res",
];

/// Formulas that end a letter.
pub(super) const CLOSINGS: &[&str] = &[
    // English
    "best regards", "kind regards", "kindest regards", "warm regards", "warmest regards", "regards", "best", "best wishes",
    "many regards", "with best regards", "with kind regards", "with regards", "all the best", "sincerely", "sincerely yours",
    "yours sincerely", "yours faithfully", "yours truly", "very truly yours", "respectfully", "cheers", "thanks & regards",
    "thanks and regards", "thanks & best regards", "thanks and best regards", "thank you and best regards",
    "thanks and kind regards", "br", "rgds", "cordially", "take care", "talk soon", "with appreciation", "with warm regards",
    "best personal regards", "thanks with regards", "thanks with best regards", "wishing you all the best", "yours", "yours ever",
    "ever yours", "warmly", "with thanks", "with many thanks", "with gratitude", "many thanks and best regards",
    "many thanks and kind regards", "many thanks & best regards", "with kindest regards", "with warmest regards", "very best regards",
    "very best wishes", "with best wishes", "all best", "very best", "thanks again and best regards", "best regards and thanks",
    // German
    "mit freundlichen grüßen", "mit freundlichen grüssen", "mit freundlichem gruß", "mit freundlichem gruss",
    "mit besten grüßen", "mit besten grüssen", "mit herzlichen grüßen", "mit herzlichem gruß", "mit bestem gruß", "freundliche grüße",
    "freundliche grüsse", "viele grüße", "viele grüsse", "viele liebe grüße", "beste grüße", "beste grüsse", "liebe grüße",
    "liebe grüsse", "herzliche grüße", "herzliche grüsse", "schöne grüße", "sonnige grüße", "mfg", "lg", "vg", "bg", "gruß", "gruss",
    "grüße", "hochachtungsvoll", "freundlicher gruss", "mit lieben grüßen", "mit freundlichen grüßen / best regards", "mit vielen grüßen",
    // French
    "cordialement", "bien cordialement", "très cordialement", "bien à vous", "bien à toi", "sincèrement", "amicalement",
    "salutations", "sincères salutations", "salutations distinguées", "meilleures salutations", "cdt", "cdlt", "bonne journée",
    "bonne réception", "respectueusement", "avec mes salutations distinguées", "à bientôt",
    // Spanish, Catalan
    "saludos", "un saludo", "saludos cordiales", "un cordial saludo", "cordiales saludos", "atentamente", "atte", "muy atentamente",
    "un abrazo", "cordialmente", "salutacions", "salutacions cordials",
    // Italian
    "cordiali saluti", "distinti saluti", "saluti", "un saluto", "un caro saluto", "cari saluti", "i migliori saluti", "a presto",
    "tanti saluti", "grazie e cordiali saluti",
    // Portuguese
    "atenciosamente", "com os melhores cumprimentos", "melhores cumprimentos", "cumprimentos", "com os meus cumprimentos",
    "abraço", "abraços", "um abraço", "att", "atte", "cordialmente", "saudações",
    // Dutch
    "met vriendelijke groet", "met vriendelijke groeten", "vriendelijke groet", "vriendelijke groeten", "hartelijke groet",
    "hartelijke groeten", "groeten", "groet", "groetjes", "mvg", "met hartelijke groet", "hoogachtend",
    // Scandinavian
    "med vänlig hälsning", "med vänliga hälsningar", "vänliga hälsningar", "vänligen", "hälsningar", "bästa hälsningar", "mvh",
    "med venlig hilsen", "venlig hilsen", "mange hilsner", "hilsen", "de bedste hilsner", "bedste hilsner", "kærlig hilsen",
    "kh", "vh", "med vennlig hilsen", "vennlig hilsen", "beste hilsen", "hilsner", "m.v.h",
    // Finnish
    "ystävällisin terveisin", "terveisin", "parhain terveisin", "ystävällisesti", "terv", "yt", "t", "terveiset",
    // Polish
    "pozdrawiam", "z poważaniem", "z wyrazami szacunku", "serdecznie pozdrawiam", "pozdrowienia", "pozdrawiam serdecznie",
    // Czech, Slovak
    "s pozdravem", "s přátelským pozdravem", "s úctou", "zdravím", "hezký den", "s pozdravom", "s priateľským pozdravom",
    "pekný deň",
    // Hungarian
    "üdvözlettel", "tisztelettel", "köszönettel", "üdv", "üdvözlet",
    // Romanian
    "cu stimă", "cu respect", "o zi bună", "numai bine", "cu stima",
    // Turkish
    "saygılarımla", "saygılarımızla", "sevgiler", "iyi çalışmalar", "selamlar", "saygilarimla",
    // Russian, Ukrainian
    "с уважением", "с наилучшими пожеланиями", "с уважением и наилучшими пожеланиями", "всего доброго", "з повагою",
    "з найкращими побажаннями", "с почитанием",
    // Greek
    "με εκτίμηση", "φιλικά", "με φιλικούς χαιρετισμούς", "ευχαριστώ και χαιρετισμούς",
    // Japanese, Chinese, Korean
    "敬具", "此致", "敬礼", "敬禮", "顺颂商祺", "祝好", "감사합니다", "드림",
    // others
    "s poštovanjem", "srdačan pozdrav", "lijep pozdrav", "lep pozdrav", "parimate soovidega", "lugupidamisega", "pagarbiai",
    "ar cieņu", "trân trọng", "hormat saya", "salam", "בברכה", "مع أطيب التحيات", "مع تحياتي", "تحياتي", "с уважение", "kveðja",
];

/// Thanks: part of a sign-off only where contact details follow, for thanking is saying something.
pub(super) const THANKS: &[&str] = &[
    "thanks", "thank you", "many thanks", "thanks so much", "thank you very much", "thanks again", "thank you so much", "herzlichen dank",
    "vielen dank im voraus", "tausend dank", "merci beaucoup", "muito obrigado", "muito obrigada", "hartelijk dank", "mange tak", "tusen takk", "thanks a lot", "thanks in advance", "thx", "ty", "danke", "vielen dank", "besten dank",
    "merci", "merci d'avance", "gracias", "muchas gracias", "grazie", "grazie mille", "obrigado", "obrigada", "bedankt",
    "dank je", "alvast bedankt", "tack", "tack så mycket", "tak", "på forhånd tak", "takk", "kiitos", "dziękuję", "z góry dziękuję",
    "děkuji", "ďakujem", "köszönöm", "mulțumesc", "teşekkürler", "спасибо", "заранее спасибо", "дякую", "ευχαριστώ", "谢谢", "謝謝",
    "よろしくお願いいたします", "よろしくお願いします", "以上、よろしくお願いいたします",
];

/// How a mobile program's own line begins ("Sent from my …").
pub(super) const SENT_FROM: &[&str] = &[
    "sent from", "sent via", "sent with", "sent using", "sent by", "sent wirelessly", "gesendet von", "gesendet mit", "gesendet aus",
    "gesendet via", "von meinem", "von meiner", "mit meinem", "envoyé de", "envoyé depuis", "envoyé à partir", "envoyé avec", "envoyé par",
    "envoyé via", "envoyé sans fil", "enviado desde", "enviado do", "enviado da", "enviado de", "enviado a partir", "enviado con",
    "enviado com", "enviado via", "enviado por", "enviado pelo", "enviat des", "inviato da", "inviato dal", "inviato con",
    "verzonden vanaf", "verzonden vanuit", "verzonden met", "verzonden via", "verstuurd vanaf", "verstuurd met", "verstuurd vanuit", "skickat från",
    "skickat med", "sendt fra", "sendt med", "sendt via", "lähetetty", "wysłane z", "wysłano z", "wysłane przy", "odesláno z",
    "odesláno pomocí", "odoslané z", "küldve", "elküldve", "trimis de pe", "trimis din", "отправлено с", "отправлено из", "отправлено через",
    "надіслано з", "надіслано із", "відправлено з", "στάλθηκε από", "נשלח מה", "נשלח מ", "أرسلت من", "أُرسلت من", "được gửi từ", "dikirim dari", "发自", "發自", "ส่งจาก",
    "來自", "来自", "從我的", "从我的", "나의", "내", "poslano s", "poslano z", "poslano iz", "poslano sa", "saadetud", "изпратено от", "išsiųsta iš",
    "outlook für", "outlook pour", "get outlook", "holen sie sich outlook", "laden sie outlook", "télécharger outlook",
    "télécharge outlook", "obtenir outlook", "obtenez outlook", "obtener outlook", "descargar outlook", "obter o outlook",
    "obter outlook", "baixar o outlook", "scarica outlook", "ottieni outlook", "download outlook", "hämta outlook", "hent outlook",
    "skaff deg outlook", "hanki outlook", "pobierz outlook", "pobierz aplikację outlook", "získat outlook", "získať outlook",
    "outlook letöltése", "az outlook beszerzése", "obțineți outlook", "загрузить outlook", "скачать outlook", "получите outlook",
    "завантажити outlook", "获取 outlook", "下载 outlook", "取得 outlook", "下載 outlook", "baixe o outlook", "pobierz program outlook", "skaffa outlook",
    "last ned outlook", "получить outlook", "获取适用于", "取得 ios", "取得 android", "získejte outlook", "λήψη του outlook", "outlook for", "outlook voor", "outlook per",
    "yahoo mail: search, organize, conquer", "provenance : courrier", "diese nachricht wurde von mein", "this message was sent from my",
    "get bluemail", "get typeapp", "get spark", "get mailbird", "get edison", "get the outlook", "get aqua mail", "get email app",
    "virus-free", "virenfrei", "garanti sans virus", "sans virus", "libre de virus", "sin virus", "privo di virus", "livre de vírus",
    "virusvrij", "wolny od wirus", "без вирусов", "bez virů", "mentes a vírus", "virusfri",
    "app. sent from", "please excuse", "excuse typos", "sorry for any typos", "typed on", "typos courtesy",
];

/// How such a line ends in languages that put the device first.
pub(super) const SENT_FROM_ENDS: &[&str] = &[
    "gesendet", "から送信", "から送信しました", "から送信されました", "에서 보냄", "에서 전송됨", "에서 전송", "gönderildi", "傳送", "发送", "寄出", "küldve",
    "lähetetty", "outlook beziehen", "herunterladen", "indirin", "を入手", "下载 outlook", "letöltése", "verzonden", "verstuurd", "downloaden",
    "outlook 다운로드", "outlook'u edinin", "发出",
];

/// Devices and programs that a line of that kind names.
pub(super) const DEVICES: &[&str] = &[
    "iphon", "ipad", "ipod", "mobile", "mobil", "phone", "telefon", "teléfono", "téléphone", "telefoon", "puhelin", "blackberry",
    "android", "samsung", "galaxy", "htc", "nokia", "lumia", "huawei", "xiaomi", "redmi", "oneplus", "pixel", "motorola", "sony",
    "xperia", "honor", "oppo", "wiko", "mobiltelefon", "tablet", "smartphone", "handy", "handheld", "outlook", "mail", "gmail", "yahoo", "aol",
    "windows", "proton", "spark", "superhuman", "airmail", "typeapp", "acompli", "courrier", "correo", "thunderbird", "nexus",
    "verizon", "t-mobile", "telekom", "app", "watch", "bluemail", "mailbird", "edison", "avast", "avg", "mac", "電話", "手机", "手機", "айфон", "мобил", "смартфон", "телефон",
];

/// What paragraphs about confidentiality and the like contain.
pub(super) const DISCLAIMER: &[&str] = &[
    "confidential", "intended recipient", "intended solely", "this e-mail and any", "this email and any", "this message and any",
    "this communication", "privileged", "if you are not the", "if you have received this", "received this e-mail in error",
    "received this email in error", "received this message in error", "please consider the environment", "think before you print",
    "before printing", "do not print this", "virus", "unauthorized", "unauthorised", "disclaimer", "vertraulich", "irrtümlich",
    "nicht der richtige adressat", "bestimmungsgemäße", "diese e-mail", "diese nachricht", "bevor sie diese", "confidentiel",
    "ce message et", "ce courriel", "destinataire", "avant d'imprimer", "n'imprimez", "pensez à l'environnement", "riservat",
    "destinatari", "questo messaggio", "le informazioni contenute", "confidencial", "este mensaje", "este correo", "esta mensagem",
    "este e-mail", "antes de imprimir", "vertrouwelijk", "geadresseerde", "dit bericht", "deze e-mail", "fortrolig", "konfidentiell",
    "luottamukselli", "poufn", "důvěrn", "dôvern", "bizalmas", "confidențial", "gizli", "конфиденциал", "конфіденц", "εμπιστευτικ",
    "registered in", "registered office", "amtsgericht", "handelsregister", "registergericht", "hrb",
    "geschäftsführer", "ust-id", "ustid", "vat no", "vat id", "company number", "unsubscribe", "abmelden", "se désabonner",
    "no virus found", "avast", "all rights reserved", "scanned by",
];

/// The same in writing without spaces between words.
pub(super) const DISCLAIMER_WITHIN: &[&str] = &["機密", "机密", "保密", "기밀"];
