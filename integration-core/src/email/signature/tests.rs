//! Signatures in several languages, written by hand.

use proptest::prelude::*;

use super::{Detail, Details, PhoneKind, read};
use crate::email::Address;

fn value(detail: &Option<Detail>) -> &str {
    detail.as_ref().map_or("", |detail| detail.value.as_str())
}

fn of(signature: &str, name: &str, address: &str) -> Details {
    read(signature, Some(&Address::new(address).with_name(name)))
}

/// (signature, sender's name, sender's address, name, title, company, phones)
type Case =
    (&'static str, &'static str, &'static str, &'static str, &'static str, &'static str, &'static [&'static str]);

const CARDS: &[Case] = &[
    (
        "-- \nBob Baker\nHead of Sales\nBaker Ltd\nTel: +44 20 7946 0018\nMob: +44 7700 900123\nwww.baker.example",
        "Bob Baker",
        "bob@baker.example",
        "Bob Baker",
        "Head of Sales",
        "Baker Ltd",
        &["+44 20 7946 0018", "+44 7700 900123"],
    ),
    (
        "Mit freundlichen Grüßen\n\nJürgen Müller\nLeiter Einkauf\n\nMüller Maschinenbau GmbH\nHauptstraße 12\n12345 Berlin\nTelefon: 030 / 901820-12\nFax: 030 / 901820-99",
        "Jürgen Müller",
        "j.mueller@mueller.example",
        "Jürgen Müller",
        "Leiter Einkauf",
        "Müller Maschinenbau GmbH",
        &["030 / 901820-12", "030 / 901820-99"],
    ),
    (
        "Cordialement,\nChloé Martin\nResponsable commerciale\nMartin SARL\n12 rue de la Paix, 75002 Paris\nTél. : 01 99 00 12 34",
        "Chloé Martin",
        "chloe@martin.example",
        "Chloé Martin",
        "Responsable commerciale",
        "Martin SARL",
        &["01 99 00 12 34"],
    ),
    (
        "Saludos\nLucía Gómez | Directora de Ventas | Gómez S.L.\nMóvil: +34 600 000 123",
        "Lucía Gómez",
        "lucia@gomez.example",
        "Lucía Gómez",
        "Directora de Ventas",
        "Gómez S.L.",
        &["+34 600 000 123"],
    ),
    (
        "Cordiali saluti\nMarco Rossi\nDirettore tecnico\nRossi S.r.l.\nVia Roma 5, 20100 Milano\ntel. 02 0000 1234",
        "Marco Rossi",
        "m.rossi@rossi.example",
        "Marco Rossi",
        "Direttore tecnico",
        "Rossi S.r.l.",
        &["02 0000 1234"],
    ),
    (
        "Med vänlig hälsning\nÅsa Berg\nProjektledare\nBerg AB\nMobil: 070-000 12 34",
        "Åsa Berg",
        "asa@berg.example",
        "Åsa Berg",
        "Projektledare",
        "Berg AB",
        &["070-000 12 34"],
    ),
    (
        "Pozdrawiam\nAnna Nowak\nSpecjalista ds. sprzedaży\nNowak Sp. z o.o.\ntel. +48 22 000 12 34",
        "Anna Nowak",
        "anna@nowak.example",
        "Anna Nowak",
        "Specjalista ds. sprzedaży",
        "Nowak Sp. z o.o.",
        &["+48 22 000 12 34"],
    ),
    (
        "С уважением,\nИван Петров\nДиректор\nООО Ромашка\nтел. +7 495 000-12-34",
        "Иван Петров",
        "ivan@romashka.example",
        "Иван Петров",
        "Директор",
        "ООО Ромашка",
        &["+7 495 000-12-34"],
    ),
    (
        "株式会社アクメ\n営業部長\n山田太郎\nTEL: 03-0000-1234",
        "山田太郎",
        "yamada@acme.example",
        "山田太郎",
        "営業部長",
        "株式会社アクメ",
        &["03-0000-1234"],
    ),
    (
        "Bob Baker, Senior Engineer\nAcme\n(555) 010-1234",
        "Robert Baker",
        "rbaker@acme.example",
        "Bob Baker",
        "Senior Engineer",
        "Acme",
        &["(555) 010-1234"],
    ),
];

#[test]
fn names_are_read_without_what_stands_around_them_and_where_the_address_does_not_spell_them() {
    let sender = Address::new("mj77@baker.example");
    for (line, name) in [
        ("María José García López", "María José García López"),
        ("Иван Петров", "Иван Петров"),
        ("田中 太郎", "田中 太郎"),
        ("Dr. Zed Zimmer, PhD", "Zed Zimmer"),
        ("Zed Zimmer (he/him)", "Zed Zimmer"),
        ("i. A. Petra Müller", "Petra Müller"),
    ] {
        let read = read(&format!("Regards,\n\n{line}\nHead of Sales\n+44 20 7946 0018"), Some(&sender));
        assert_eq!(read.name.map(|found| found.value).as_deref(), Some(name), "{line}");
    }
    for line in ["Customer Service", "Your Pump Team", "Baker Pumps"] {
        assert_eq!(read(&format!("Regards,\n{line}"), Some(&sender)).name, None, "{line}");
    }
}

#[test]
fn a_company_with_its_legal_form_is_better_than_a_word_like_the_domain() {
    let sender = Address::new("zed@zed.example");
    let read = read("Best,\nZed\n\nZed Zimmer\nVP Engineering\nZed Corp", Some(&sender));
    assert_eq!(read.company.unwrap().value, "Zed Corp");
}

#[test]
fn numbers_keep_their_extension_and_are_found_by_single_letters() {
    let numbers = |line: &str| {
        let found = read(&format!("Regards,\nZed Zimmer\n{line}"), None).phones;
        found.into_iter().map(|phone| (phone.number.value, phone.kind)).collect::<Vec<_>>()
    };
    let phone = |number: &str, kind| (number.to_owned(), kind);
    assert_eq!(
        numbers("d: 020 7946 0958  m: 07700 900123"),
        [phone("020 7946 0958", PhoneKind::Phone), phone("07700 900123", PhoneKind::Mobile)]
    );
    assert_eq!(numbers("o. 212.555.0100 x123"), [phone("212.555.0100 x123", PhoneKind::Phone)]);
    assert_eq!(numbers("Tel +44 20 7946 0018, ext. 12"), [phone("+44 20 7946 0018, ext. 12", PhoneKind::Phone)]);
    assert_eq!(numbers("Fax: +44 20 7946 0019"), [phone("+44 20 7946 0019", PhoneKind::Fax)]);
}

#[test]
fn hosts_are_links_where_they_stand_alone() {
    let urls = |line: &str| {
        let found = read(&format!("Regards,\nZed Zimmer\n{line}"), None).urls;
        found.into_iter().map(|url| url.value).collect::<Vec<_>>()
    };
    assert_eq!(urls("zedpumps.com"), ["zedpumps.com"]);
    assert_eq!(urls("+44 20 7946 0018 | zedpumps.co.uk"), ["zedpumps.co.uk"]);
    assert_eq!(urls("linkedin.com/in/zed"), ["linkedin.com/in/zed"]);
    assert!(urls("see report.pdf or Acme.Yes").is_empty());
}

#[test]
fn mutated_signatures_are_read() {
    let seeds: Vec<&[u8]> = CARDS.iter().map(|card| card.0.as_bytes()).collect();
    let words =
        ["\n", "-- \n", "Tel: ", "+44 ", "http://", "@", "|", "Ltd", "<", "\u{200b}", "Regards,\n", "\0", "(", "/"];
    crate::testing::fuzz("signature reader", 4_000, &seeds, &words, |input| {
        let text = String::from_utf8_lossy(input);
        let sender = Address::new("bob@baker.example").with_name("Bob Baker");
        for sender in [None, Some(&sender)] {
            let details = read(&text, sender);
            let all = details.phones.iter().map(|phone| &phone.number).chain(&details.urls).chain(&details.addresses);
            for detail in all.chain(&details.name).chain(&details.title).chain(&details.company) {
                let line = text.lines().nth(detail.line).map(str::trim);
                assert_eq!(line, Some(detail.source.as_str()), "{detail:?}");
            }
        }
    });
}

#[test]
fn the_time_for_a_signature_grows_with_its_size() {
    for piece in ["Bob Baker, Ltd\n", "+44 20 7946 0018 ", "a@b.example|", "http://x.example/ ", "(", "1", "\n"] {
        let make = |size: usize| piece.repeat(size / piece.len());
        crate::testing::assert_linear(piece, 20_000, make, |text| drop(read(text, None)));
    }
}

#[test]
fn cards_in_ten_styles_and_languages_are_read() {
    for (signature, name, address, wanted, title, company, phones) in CARDS {
        let details = of(signature, name, address);
        assert_eq!(value(&details.name), *wanted, "{signature}");
        assert_eq!(value(&details.title), *title, "{signature}");
        assert_eq!(value(&details.company), *company, "{signature}");
        let found: Vec<&str> = details.phones.iter().map(|phone| phone.number.value.as_str()).collect();
        assert_eq!(found, *phones, "{signature}");
    }
}

#[test]
fn each_detail_names_the_line_it_was_read_from() {
    let details = of("Bob Baker\nHead of Sales | Tel. +44 20 7946 0018", "Bob Baker", "bob@baker.example");
    let phone = &details.phones[0].number;
    assert_eq!((phone.line, phone.source.as_str()), (1, "Head of Sales | Tel. +44 20 7946 0018"));
}

#[test]
fn labels_tell_mobile_and_fax_numbers() {
    let details = of("Tel: +44 20 7946 0018 | M: +44 7700 900123\nFax +44 20 7946 0019", "Bob", "bob@baker.example");
    let kinds: Vec<PhoneKind> = details.phones.iter().map(|phone| phone.kind).collect();
    assert_eq!(kinds, [PhoneKind::Phone, PhoneKind::Mobile, PhoneKind::Fax]);
}

#[test]
fn an_address_over_two_lines_is_one() {
    let details = of("Jürgen Müller\nHauptstraße 12\n12345 Berlin\nTel. 030 9018200", "Jürgen Müller", "j@m.example");
    assert_eq!(value(&details.postal), "Hauptstraße 12, 12345 Berlin");
}

#[test]
fn links_and_mail_addresses_are_found_once() {
    let details = of(
        "Web: baker.example\nhttps://baker.example/a <https://baker.example/a>\nbob@baker.example",
        "Bob",
        "bob@baker.example",
    );
    let urls: Vec<&str> = details.urls.iter().map(|url| url.value.as_str()).collect();
    assert_eq!(urls, ["baker.example", "https://baker.example/a"]);
    assert_eq!(details.addresses[0].value, "bob@baker.example");
}

#[test]
fn numbers_that_reach_nobody_are_no_telephones() {
    for line in [
        "Amtsgericht Berlin HRB 1234567",
        "VAT 123456789",
        "Ust-ID: DE 123456789",
        "IBAN DE00 1234 5678 9012 3456 78",
        "04.05.2026",
        "Order 20260504-0001",
    ] {
        assert_eq!(read(line, None).phones, [], "{line}");
    }
}

#[test]
fn somebody_elses_name_is_not_the_senders() {
    let details = of("Kind regards\nCarla Cook\nManager", "Bob Baker", "bob@baker.example");
    assert_eq!(details.name, None);
}

#[test]
fn a_mobile_line_and_a_disclaimer_say_nothing() {
    let text = "Sent from my iPhone\n\nThis message and its attachments are confidential and intended solely for the person it is \
                addressed to; if you are not the intended recipient please call +44 20 7946 0018.\nBaker Ltd";
    assert_eq!(read(text, None), Details::default());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_text_is_read_and_every_detail_stands_in_its_line(text in "(\\PC{0,30}[\n|@:+0-9 ]{0,6}){0,12}") {
        let details = read(&text, Some(&Address::new("a@b.example").with_name("A B")));
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let singles = [&details.name, &details.title, &details.company].into_iter().flatten();
        let phones = details.phones.iter().map(|phone| &phone.number);
        for found in singles.chain(phones).chain(&details.urls).chain(&details.addresses) {
            prop_assert_eq!(lines[found.line], found.source.as_str());
            prop_assert!(found.source.contains(&found.value));
        }
    }
}
