//! What names a company, a title or a street, by language; lower case.

/// Legal forms, as the last words of a company's name.
pub(super) const SUFFIXES: &[&str] = &[
    "gmbh", "ag", "kg", "ohg", "ug", "se", "e.k.", "e.v.", "gbr", "kgaa", "mbh", "ltd", "ltd.", "limited", "inc", "inc.", "llc", "l.l.c.", "llp",
    "plc", "corp", "corp.", "corporation", "pty", "s.a.", "sa", "sas", "s.a.s.", "sarl", "s.à.r.l.", "eurl", "s.l.", "sl", "s.l.u.", "slu",
    "s.r.l.", "srl", "s.r.l", "s.p.a.", "spa", "s.n.c.", "lda", "lda.", "ltda", "ltda.", "b.v.", "bv", "n.v.", "nv", "v.o.f.", "ab", "a/s", "aps",
    "as", "asa", "oy", "oyj", "tmi", "o.o.", "s.r.o.", "a.s.", "kft", "kft.", "zrt", "zrt.", "nyrt.", "bt.", "a.ş.", "şti.", "d.o.o.", "d.d.",
    "uab", "sia", "oü", "αε", "α.ε.", "επε", "group", "holding", "holdings", "partners", "gruppe", "groupe",
];

/// Legal forms that are written into the name.
pub(super) const SUFFIXES_WITHIN: &[&str] = &["株式会社", "有限会社", "合同会社", "有限公司", "公司", "주식회사", "㈜", "(주)", "ООО ", "ТОВ ", "GmbH & Co"];

/// Words of titles.
pub(super) const TITLES: &[&str] = &[
    "manager", "director", "engineer", "developer", "head", "chief", "ceo", "cto", "cfo", "coo", "cmo", "cio", "president", "vp", "founder",
    "co-founder", "cofounder", "owner", "partner", "consultant", "assistant", "lead", "officer", "analyst", "designer", "accountant",
    "architect", "specialist", "executive", "coordinator", "supervisor", "technician", "representative", "secretary", "treasurer", "advisor",
    "administrator", "recruiter", "scientist", "researcher", "professor", "attorney", "lawyer", "paralegal", "editor", "buyer", "associate",
    "geschäftsführer", "geschäftsführerin", "leiter", "leiterin", "vertrieb", "einkauf", "entwickler", "entwicklerin", "berater", "beraterin",
    "sachbearbeiter", "sachbearbeiterin", "assistentin", "assistenz", "prokurist", "inhaber", "inhaberin", "vorstand", "buchhaltung",
    "rechtsanwalt", "rechtsanwältin", "ingenieur", "ingenieurin", "directeur", "directrice", "responsable", "gérant", "gérante", "ingénieur",
    "ingénieure", "chargé", "chargée", "chef", "comptable", "commercial", "commerciale", "président", "présidente", "avocat", "avocate",
    "directora", "gerente", "jefe", "jefa", "ingeniero", "ingeniera", "presidente", "abogado", "abogada", "asesor", "asesora", "responsabile",
    "direttore", "direttrice", "ingegnere", "amministratore", "amministratrice", "titolare", "avvocato", "impiegata", "impiegato", "diretor",
    "diretora", "engenheiro", "engenheira", "sócio", "sócia", "consultor", "consultora", "directeur", "adviseur", "eigenaar", "verkoper",
    "boekhouder", "vd", "försäljningschef", "säljare", "projektledare", "direktör", "konsult", "direktør", "salgssjef", "salgschef", "leder",
    "konsulent", "rådgiver", "sælger", "daglig", "toimitusjohtaja", "myyntipäällikkö", "päällikkö", "johtaja", "asiantuntija", "dyrektor",
    "kierownik", "specjalista", "specjalistka", "prezes", "księgowa", "handlowiec", "ředitel", "ředitelka", "jednatel", "obchodní", "konateľ",
    "riaditeľ", "riaditeľka", "vedúci", "igazgató", "vezető", "ügyvezető", "müdür", "müdürü", "uzmanı", "директор", "менеджер", "инженер",
    "руководитель", "начальник", "бухгалтер", "керівник", "інженер", "διευθυντής", "διευθύντρια", "υπεύθυνος", "manageress",
];

/// Titles in writing without spaces, and stems.
pub(super) const TITLES_WITHIN: &[&str] = &[
    "代表取締役", "部長", "課長", "社長", "主任", "担当", "经理", "總監", "总监", "主管", "工程师", "대표", "부장", "과장", "팀장", "이사", "vice president",
    "customer success", "human resources", "leiter ", "leitung",
];

/// Words of streets.
pub(super) const STREETS: &[&str] = &[
    "street", "st", "road", "rd", "avenue", "ave", "av", "lane", "ln", "drive", "dr", "boulevard", "blvd", "square", "sq", "way", "court", "parkway",
    "suite", "ste", "floor", "straße", "strasse", "str", "platz", "weg", "allee", "ring", "rue", "place", "quai", "impasse", "chemin", "calle", "c", "plaza",
    "paseo", "avda", "avenida", "via", "viale", "piazza", "corso", "rua", "praça", "largo", "gatan", "vägen", "vej", "gade", "vei", "gate", "gata", "katu",
    "ul", "ulica", "al", "aleja", "ulice", "náměstí", "utca", "út", "tér", "strada", "bulevardul", "cad", "caddesi", "sok", "sokak", "ул", "улица", "пр",
    "проспект", "вул", "οδός", "box", "postfach", "house", "building", "po",
];

/// How one-word streets end.
pub(super) const STREET_ENDS: &[&str] = &[
    "straße", "strasse", "str", "weg", "platz", "allee", "gasse", "ring", "damm", "ufer", "straat", "laan", "plein", "kade", "gracht", "gatan", "gata",
    "vägen", "vej", "gade", "veien", "gaten", "katu", "tie", "utca",
];

/// Lines of registers, tax numbers and banks.
pub(super) const REGISTER: &[&str] = &[
    "amtsgericht", "handelsregister", "hrb ", "hra ", "ust-id", "ust.-id", "ustid", "vat ", "iban", "bic:", "swift", "siret", "registered in", "registered office",
    "company number", "registration no", "steuernummer", "sitz der gesellschaft", "unsubscribe", "confidential", "vertraulich", "kvk", "cvr", "krs", "regon", "ičo",
    "geschäftsführer:", "geschäftsführung:", "vorsitzender", "aufsichtsrat",
];

/// What stands before a name.
pub(super) const FORMS_OF_ADDRESS: &[&str] = &[
    "dr.", "dr", "prof.", "prof", "mr.", "mr", "mrs.", "mrs", "ms.", "ms", "mx", "ing.", "dipl.-ing.", "dipl.-kfm.", "dipl.-inf.", "mag.", "herr",
    "frau", "sir", "dra.", "sr.", "sra.", "dott.", "dott.ssa", "avv.", "mgr.", "bc.", "m.", "mme", "med.", "rer.", "nat.", "h.c.", "mult.", "jur.", "phil.",
];

/// What stands behind one.
pub(super) const DEGREES: &[&str] = &[
    "phd", "ph.d.", "ph.d", "md", "m.d.", "mba", "mbe", "esq", "esq.", "cpa", "cfa", "pmp", "msc", "m.sc.", "bsc", "b.sc.", "ma", "m.a.", "ba", "b.a.", "llm",
    "ll.m.", "jr", "jr.", "pe", "p.e.", "rn", "dds", "cissp", "b.eng.", "m.eng.", "beng", "meng", "dipl.-ing.", "csc.",
];

/// Words of departments, which have capitals too.
pub(super) const DEPARTMENTS: &[&str] = &[
    "team", "service", "services", "support", "department", "dept", "sales", "office", "group", "customer", "accounts", "accounting", "marketing", "abteilung",
    "kundenservice", "kundendienst", "vertrieb", "einkauf", "buchhaltung", "équipe", "equipo", "ventas", "help", "desk", "helpdesk", "billing", "finance",
    "logistics", "newsletter", "communications", "relations", "resources", "solutions", "systems", "company", "the", "your", "our", "ihr", "ihre",
];
