//! Names that say nothing about a person or a company.

use std::collections::BTreeSet;

/// Free-mail domains and role names: a list of our own, which a host can replace or extend.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct NameLists {
    /// Domains where everybody can have an address, lower case; their subdomains count as well. An address there says
    /// nothing about a company.
    pub free_mail: BTreeSet<String>,
    /// Names under which a provider gives everybody an address in many countries ("hotmail": `hotmail.nl`,
    /// `hotmail.com.br`), lower case.
    pub free_mail_families: BTreeSet<String>,
    /// What stands before the `@` of addresses that nobody answers for personally, lower case.
    pub roles: BTreeSet<String>,
}

/// Providers with a domain in each country where they serve people. Those whose name is a common word are not in here:
/// a company may have it in another country.
const FAMILIES: &str = "hotmail yahoo gmx yandex googlemail windowslive ymail rocketmail tutanota";

/// From general knowledge: the large providers and their country domains, and those that rent out many domains.
const FREE_MAIL: &str = "gmail.com googlemail.com outlook.com outlook.de outlook.fr outlook.es outlook.it hotmail.com hotmail.co.uk hotmail.de \
hotmail.fr hotmail.it hotmail.es live.com live.co.uk live.de live.fr live.nl msn.com passport.com yahoo.com \
yahoo.co.uk yahoo.de yahoo.fr yahoo.it yahoo.es yahoo.ca yahoo.com.br yahoo.com.mx yahoo.com.ar yahoo.com.au \
yahoo.co.in yahoo.in yahoo.co.jp yahoo.co.id ymail.com rocketmail.com myyahoo.com aol.com aol.de aim.com icloud.com \
me.com mac.com proton.me protonmail.com protonmail.ch pm.me tutanota.com tutanota.de tuta.io tuta.com hushmail.com \
fastmail.com fastmail.fm zoho.com zohomail.com gmx.de gmx.net gmx.at gmx.ch gmx.com gmx.us gmx.fr web.de t-online.de \
freenet.de arcor.de mail.de posteo.de posteo.net mailbox.org email.de online.de vodafone.de kabelmail.de bluewin.ch \
hispeed.ch sunrise.ch aon.at chello.at orange.fr wanadoo.fr free.fr laposte.net sfr.fr neuf.fr bbox.fr \
club-internet.fr libero.it virgilio.it tiscali.it alice.it tin.it inwind.it iol.it telefonica.net terra.es \
terra.com.br uol.com.br bol.com.br ig.com.br sapo.pt telenet.be skynet.be ziggo.nl kpnmail.nl planet.nl xs4all.nl \
home.nl hetnet.nl comhem.se bredband.net online.no getmail.no mail.dk jubii.dk stofanet.dk wp.pl o2.pl onet.pl \
interia.pl op.pl gazeta.pl tlen.pl seznam.cz email.cz centrum.cz post.cz volny.cz azet.sk zoznam.sk centrum.sk \
freemail.hu citromail.hu t-online.hu abv.bg mail.bg yahoo.ro mail.ru inbox.ru list.ru bk.ru internet.ru yandex.ru \
yandex.com ya.ru rambler.ru ukr.net i.ua meta.ua mail.ee inbox.lv qq.com foxmail.com 163.com 126.com yeah.net sina.com \
sina.cn sohu.com 139.com 189.cn aliyun.com naver.com daum.net hanmail.net nate.com docomo.ne.jp ezweb.ne.jp au.com \
softbank.ne.jp i.softbank.jp nifty.com biglobe.ne.jp ocn.ne.jp rediffmail.com btinternet.com btopenworld.com sky.com \
virginmedia.com ntlworld.com blueyonder.co.uk talktalk.net o2.co.uk comcast.net verizon.net att.net sbcglobal.net \
bellsouth.net cox.net charter.net earthlink.net optonline.net juno.com rogers.com sympatico.ca shaw.ca telus.net \
videotron.ca bigpond.com optusnet.com.au iinet.net.au xtra.co.nz mail.com email.com usa.com inbox.com lycos.com \
gawab.com maktoob.com walla.co.il walla.com zohomail.eu duck.com hey.com skiff.com mozmail.com \
privaterelay.appleid.com simplelogin.com anonaddy.com mailinator.com guerrillamail.com 10minutemail.com yopmail.com \
trashmail.com gmail.com.br gmx.li windowslive.com outlook.at outlook.be outlook.bg outlook.cl outlook.cn outlook.cz \
outlook.dk outlook.hu outlook.ie outlook.in outlook.jp outlook.kr outlook.lt outlook.lv outlook.my outlook.nl \
outlook.no outlook.ph outlook.pt outlook.ro outlook.sa outlook.se outlook.sg outlook.si outlook.sk outlook.tw \
outlook.co.id outlook.co.il outlook.co.nz outlook.co.th outlook.com.ar outlook.com.au outlook.com.br outlook.com.gr \
outlook.com.pe outlook.com.pk outlook.com.tr outlook.com.ua outlook.com.vn live.at live.be live.ca live.ch live.cl \
live.cn live.dk live.fi live.hk live.ie live.in live.it live.jp live.no live.ru live.se live.co.kr live.co.za \
live.com.ar live.com.au live.com.mx live.com.my live.com.ph live.com.pt live.com.sg msn.nl msn.cn aol.co.uk aol.fr \
aol.it aol.es aol.at aol.ch aol.jp aol.com.au aol.com.br love.com games.com wow.com yandex.ua narod.ru mail.ua \
bigmir.net email.ua online.ua tut.by open.by mail.kz inbox.eu inbox.lt one.lt one.lv gbg.bg dir.bg net.hr inet.hr \
t-com.hr siol.net volja.net eunet.rs open.telekom.rs otenet.gr forthnet.gr hol.gr in.gr mynet.com superonline.com \
mailfence.com runbox.com startmail.com kolabnow.com disroot.org riseup.net autistici.org ctemplar.com countermail.com \
cock.li lavabit.com safe-mail.net openmailbox.org vivaldi.net opayq.com 33mail.com spamgourmet.com swissmail.org \
vtxmail.ch tele2.se spray.se passagen.se swipnet.se home.se frisurf.no broadpark.no start.no c2i.net tdcadsl.dk \
post.tele.dk ofir.dk suomi24.fi luukku.com kolumbus.fi elisanet.fi pp.inet.fi saunalahti.fi netti.fi hot.ee online.ee \
vip.lt simnet.is casema.nl chello.nl chello.hu upcmail.nl tele2.nl quicknet.nl wxs.nl zeelandnet.nl solcon.nl \
versatel.nl scarlet.be pandora.be belgacom.net voo.be pt.lu internet.lu vodafonemail.de unitybox.de unity-mail.de \
netcologne.de alice-dsl.net alice.de versanet.de ewetel.net ok.de gmx.eu 1und1.de inode.at utanet.at a1.net liwest.at \
gmx.info hispeed.at drei.at aliceadsl.fr voila.fr cegetel.net numericable.fr numericable.com 9online.fr noos.fr \
dbmail.com gmx.co.uk lycos.co.uk lycos.de lycos.fr lycos.it lycos.nl lycos.es caramail.com caramail.fr tiscali.co.uk \
tiscali.fr tiscali.de pipex.com plus.com plus.net plusnet.com freeserve.co.uk fsnet.co.uk fsmail.net onetel.com \
supanet.com btconnect.com tesco.net madasafish.com eircom.net iolfree.ie indigo.ie oceanfree.net ono.com ya.com \
jazztel.es movistar.es wanadoo.es hispavista.com mixmail.com netcabo.pt clix.pt iol.pt mail.pt oninet.pt fastwebnet.it \
tele2.it email.it supereva.it jumpy.it blu.it interfree.it katamail.com kataweb.it poczta.onet.pl onet.eu vp.pl \
autograf.pl poczta.fm buziaczek.pl interia.eu poczta.pl spoko.pl amorki.pl go2.pl prokonto.pl neostrada.pl atlas.cz \
quick.cz tiscali.cz chello.cz email.sk post.sk pobox.sk stonline.sk szm.sk vipmail.hu indamail.hu upcmail.hu \
digikabel.hu personal.ro email.ro clicknet.ro home.ro yahoo.com.tr inbox.com.br globo.com globomail.com r7.com \
oi.com.br zipmail.com.br pop.com.br terra.com itelefonica.com.br superig.com.br prodigy.net.mx latinmail.com \
fibertel.com.ar ciudad.com.ar arnet.com.ar speedy.com.ar adinet.com.uy vtr.net une.net.co etb.net.co cantv.net \
21cn.com tom.com 263.net 188.com vip.163.com vip.126.com vip.qq.com vip.sina.com eyou.com sina.com.cn chinaren.com \
netvigator.com hknet.com ctimail.com seed.net.tw pchome.com.tw hinet.net kimo.com mail.com.tw goo.ne.jp goo.jp \
excite.co.jp infoseek.jp so-net.ne.jp dion.ne.jp plala.or.jp asahi-net.or.jp odn.ne.jp dti.ne.jp jcom.home.ne.jp \
mopera.net vodafone.ne.jp ybb.ne.jp ymobile.ne.jp uqmobile.jp korea.com lycos.co.kr empal.com dreamwiz.com chol.com \
hanmir.com paran.com indiatimes.com sify.com vsnl.com vsnl.net in.com sancharnet.in dataone.in rediff.com \
pacific.net.sg singnet.com.sg starhub.net.sg tm.net.my jaring.my streamyx.com telkom.net plasa.com pldtdsl.net \
loxinfo.co.th bigpond.net.au ozemail.com.au tpg.com.au westnet.com.au internode.on.net dodo.com.au adam.com.au \
aapt.net.au optusnet.com bigpond.com.au paradise.net.nz clear.net.nz slingshot.co.nz orcon.net.nz ihug.co.nz \
mweb.co.za telkomsa.net webmail.co.za vodamail.co.za iafrica.com absamail.co.za netvision.net.il bezeqint.net \
zahav.net.il 012.net.il emirates.net.ae eim.ae tedata.net.eg menara.ma sbcglobal.com swbell.net pacbell.net \
ameritech.net prodigy.net snet.net flash.net nvbell.net wans.net frontier.com frontiernet.net windstream.net \
centurylink.net centurytel.net embarqmail.com q.com qwest.net peoplepc.com netzero.net netzero.com mindspring.com \
roadrunner.com rr.com twc.com brighthouse.net suddenlink.net mediacombb.net wowway.com rcn.com optimum.net \
cableone.net insightbb.com tds.net hughes.net excite.com netscape.net netscape.com compuserve.com cs.com prodigy.com \
bellatlantic.net gte.net usa.net iname.com myway.com mail2world.com care2.com bigfoot.com lycosmail.com altavista.com \
angelfire.com hotpop.com operamail.com consultant.com post.com europe.com asia.com engineer.com writeme.com dr.com \
cheerful.com techie.com accountant.com lawyer.com doctor.com workmail.com myself.com linuxmail.org fastmail.net \
fastmail.co.uk fastmail.us sent.com eml.cc fmail.co.uk mailforce.net imap.cc cogeco.ca eastlink.ca mts.net sasktel.net \
bell.net bellaliant.net primus.ca nb.sympatico.ca rediffmail.in keemail.me tutamail.com proton.ch protonmail.org \
passmail.net passinbox.com icloud.com.cn relay.firefox.com onmail.com tempmail.com temp-mail.org sharklasers.com \
grr.la guerrillamail.net guerrillamail.org maildrop.cc getnada.com throwawaymail.com mailnesia.com mintemail.com \
dispostable.com fakeinbox.com tempr.email discard.email spambog.com mytemp.email moakt.com emailondeck.com mohmal.com \
spam4.me jetable.org trash-mail.com wegwerfmail.de byom.de einrot.com";

const ROLES: &str = "abuse account accounting accounts admin administracion administration administrator agenda alert alerts all \
ap ar assistance atendimento auftrag bewerbung bestellung bestellungen billing booking bookings bounce bounces buchhaltung \
calendar careers claims comercial commercial compliance compras comptabilite contabilidad contabilita contact contacto contato \
contatti credit customer customer-care customercare customerservice customerservices customersupport daemon delivery dispatch \
do-not-reply do_not_reply donotreply einkauf empfang enquiries enquiry events everyone facturacion facturation faktura feedback \
finance financeiro firma ftp fuhrpark geral hallo headoffice hello help helpdesk hi hilfe hola hostmaster hr hrd info \
infos information informacion inquiries inquiry investor investors invoice invoices it job jobs karriere kasse kontakt \
kundendienst kundenservice lager legal list listserv logistics logistik mail mailbox mailer-daemon mailerdaemon majordomo \
management marketing media members membership moderator news newsletter newsletters nobody no-reply no_reply noc noreply \
notification notifications notify office offers operations order orders owner parts partners payable payables payment payments \
payroll personal poczta post postmaster press presse privacy procurement purchasing quality rechnung rechnungen reception \
receivables recepcion reclamos recruiting recruitment reservas reservation reservations reservierung returns register \
registration reply request rezeption rh root rrhh sales secretary security sekretariat service services servicio shipping shop \
soporte spam staff statements store subscribe subscribe-request suporte supplier suppliers support sysadmin team tech \
technical technik tickets training travel undisclosed unsubscribe updates usenet uucp ventas verkauf verwaltung vertrieb \
vendas warehouse web webmaster welcome werkstatt www zentrale";

/// What makes a role of an address whose parts it is with others: `accounts.payable`, `team-zed`, `buchhaltung.muenchen`.
/// None of them is a name that people have.
const ROLE_PARTS: &str = "accounting accounts admin billing bookings buchhaltung comercial customer customercare customerservice \
customersupport einkauf enquiries facturation finance helpdesk hr info invoices jobs kunden kundenservice marketing newsletter \
notifications office orders payable payments procurement purchasing rechnung rechnungen receivable reception recruiting \
rezeption sales service services shipping support team ventas verkauf vertrieb";

/// What addresses that no person reads begin or end with.
const AUTOMATIC: [&str; 9] = [
    "noreply",
    "no-reply",
    "no_reply",
    "no.reply",
    "donotreply",
    "do-not-reply",
    "do.not.reply",
    "bounce",
    "mailer-daemon",
];

impl Default for NameLists {
    fn default() -> Self {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
        Self { free_mail: words(FREE_MAIL), free_mail_families: words(FAMILIES), roles: words(ROLES) }
    }
}

impl NameLists {
    /// Can everybody have an address at this domain (lower case), or at the one that it is part of?
    #[must_use]
    pub fn is_free_mail(&self, domain: &str) -> bool {
        self.free_mail.contains(domain)
            || psl::domain_str(domain).is_some_and(|own| self.free_mail.contains(own) || self.is_of_family(own))
    }

    /// A provider's domain in a country: its name, then the country's, with what some countries put between.
    fn is_of_family(&self, domain: &str) -> bool {
        let Some((name, country)) = domain.split_once('.') else { return false };
        let country = ["com.", "co.", "ne."].iter().find_map(|kind| country.strip_prefix(kind)).unwrap_or(country);
        let is_country = country.len() == 2 && country.bytes().all(|byte| byte.is_ascii_lowercase());
        is_country && self.free_mail_families.contains(name)
    }

    /// Does nobody answer personally for this address (lower case)?
    #[must_use]
    pub fn is_role(&self, address: &str) -> bool {
        let local = address.rsplit_once('@').map_or(address, |(local, _)| local);
        let base = local.split_once('+').map_or(local, |(base, _)| base);
        let automatic = || AUTOMATIC.iter().any(|word| base.starts_with(word) || base.ends_with(word));
        self.roles.contains(base) || automatic() || is_generated(base) || self.is_department(base)
    }

    /// Words of which one is a role's and all others may be a place or a subject: "sales-de", but "sales.ann" is a person.
    fn is_department(&self, base: &str) -> bool {
        let parts = || base.split(['.', '-', '_']).filter(|part| !part.is_empty());
        let count = parts().count();
        let role = |part: &str| ROLE_PARTS.split_whitespace().any(|word| word == part);
        let place = |part: &str| {
            role(part) || self.roles.contains(part) || part.len() <= 2 || part.bytes().all(|byte| byte.is_ascii_digit())
        };
        if !(2..=3).contains(&count) || !parts().any(role) {
            return false;
        }
        parts().all(place) || parts().next().is_some_and(|first| matches!(first, "team" | "buchhaltung" | "rechnung"))
    }
}

/// Made by a machine: an envelope rewritten for forwarding, or a long number.
fn is_generated(base: &str) -> bool {
    let rewritten =
        ["srs0=", "srs1=", "prvs=", "btv1==", "bounces-", "bounce+"].iter().any(|begin| base.starts_with(begin));
    let digits = base.bytes().filter(u8::is_ascii_digit).count();
    let hex = base.len() >= 20 && digits >= 4 && base.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    rewritten || hex
}

#[cfg(test)]
mod tests {
    use super::NameLists;

    #[test]
    fn roles_are_recognised_with_tags_and_additions_and_people_are_not() {
        let lists = NameLists::default();
        for role in [
            "info@a.example",
            "support+7@a.example",
            "noreply-billing@a.example",
            "calendar-noreply@a.example",
            "no.reply@a.example",
            "ap@a.example",
            "accounts.payable@a.example",
            "customerservice@a.example",
            "customer.support@a.example",
            "kunden-service@a.example",
            "buchhaltung.muenchen@a.example",
            "team-zed@a.example",
            "sales-de@a.example",
            "bookings@a.example",
            "rezeption@a.example",
            "srs0=ab12=xy=b.example=ann@a.example",
            "0f1e2d3c4b5a69788796a5b4c3d2e1f0@prod.docs.example",
        ] {
            assert!(lists.is_role(role), "{role}");
        }
        for person in
            ["ann@a.example", "infomir@a.example", "sales.ann@a.example", "ann.office@a.example", "de.ann@a.example"]
        {
            assert!(!lists.is_role(person), "{person}");
        }
    }

    #[test]
    fn free_mail_is_known_in_every_country_and_below_its_domain_and_companies_are_not() {
        let lists = NameLists::default();
        let free = "gmail.com mail.gmail.com hotmail.ca hotmail.nl hotmail.se hotmail.com.br live.se live.ca live.it \
            live.com.au outlook.jp outlook.com.br outlook.be yahoo.ch yahoo.at yahoo.be yahoo.co.nz windowslive.com gmx.net";
        for domain in free.split_whitespace() {
            assert!(lists.is_free_mail(domain), "{domain}");
        }
        for domain in ["acme.example", "live.agency", "hotmail.example", "yahoo.company", "notgmail.com", "example", ""]
        {
            assert!(!lists.is_free_mail(domain), "{domain}");
        }
    }
    /// The names of another project's list that are domains of a provider in a country: what the rule is for.
    fn is_of_a_big_provider(lists: &NameLists, domain: &str) -> bool {
        let name = domain.split('.').next().unwrap_or_default();
        let registrable = psl::domain_str(domain) == Some(domain);
        registrable
            && (lists.free_mail_families.contains(name) || ["live", "outlook", "gmail", "msn", "aol"].contains(&name))
    }

    #[test]
    fn the_list_holds_against_another_projects() {
        let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared");
        let shared = std::env::var_os("INTEGRATION_SHARED").map_or_else(|| beside.into(), std::path::PathBuf::from);
        let Ok(text) = std::fs::read_to_string(shared.join("data/contacts/free_email_domains.json")) else {
            println!("INTEGRATION_SHARED has no list of free-mail domains: nothing was compared");
            return;
        };
        let theirs: std::collections::BTreeSet<String> = serde_json::from_str(&text).unwrap();
        let lists = NameLists::default();
        let ours_there = lists.free_mail.iter().filter(|ours| theirs.contains(*ours)).count();
        let known = theirs.iter().filter(|domain| lists.is_free_mail(domain)).count();
        let big: Vec<&String> = theirs.iter().filter(|domain| is_of_a_big_provider(&lists, domain)).collect();
        let missed: Vec<&&String> = big.iter().filter(|domain| !lists.is_free_mail(domain)).collect();
        let percent = |part: usize, whole: usize| part * 100 / whole.max(1);
        let (ours, all) = (lists.free_mail.len(), theirs.len());
        println!("of our {ours} names {ours_there} are in theirs ({} %)", percent(ours_there, ours));
        println!("of their {all} names, throw-away ones included, we know {known} ({} %)", percent(known, all));
        println!("of the {} of big providers we miss {missed:?}", big.len());
        assert!(percent(ours_there, ours) >= 50, "{ours_there} of {ours}");
        assert!(percent(big.len() - missed.len(), big.len()) >= 95, "{missed:?}");
    }
}
