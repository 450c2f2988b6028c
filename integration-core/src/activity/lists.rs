//! Names that say nothing about a person or a company.

use std::collections::BTreeSet;

/// Free-mail domains and role names: a short list of our own, which a host can replace or extend.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct NameLists {
    /// Domains where everybody can have an address, lower case. An address there says nothing about a company.
    pub free_mail: BTreeSet<String>,
    /// What stands before the `@` of addresses that nobody answers for personally, lower case.
    pub roles: BTreeSet<String>,
}

/// From general knowledge: the large providers and their country domains, and those that rent out many domains.
const FREE_MAIL: &str = "gmail.com googlemail.com outlook.com outlook.de outlook.fr outlook.es outlook.it hotmail.com \
hotmail.co.uk hotmail.de hotmail.fr hotmail.it hotmail.es live.com live.co.uk live.de live.fr live.nl msn.com passport.com \
yahoo.com yahoo.co.uk yahoo.de yahoo.fr yahoo.it yahoo.es yahoo.ca yahoo.com.br yahoo.com.mx yahoo.com.ar yahoo.com.au \
yahoo.co.in yahoo.in yahoo.co.jp yahoo.co.id ymail.com rocketmail.com myyahoo.com aol.com aol.de aim.com icloud.com me.com \
mac.com proton.me protonmail.com protonmail.ch pm.me tutanota.com tutanota.de tuta.io tuta.com hushmail.com fastmail.com \
fastmail.fm zoho.com zohomail.com gmx.de gmx.net gmx.at gmx.ch gmx.com gmx.us gmx.fr web.de t-online.de freenet.de arcor.de \
mail.de posteo.de posteo.net mailbox.org email.de online.de vodafone.de kabelmail.de bluewin.ch hispeed.ch sunrise.ch \
aon.at chello.at orange.fr wanadoo.fr free.fr laposte.net sfr.fr neuf.fr bbox.fr club-internet.fr libero.it virgilio.it \
tiscali.it alice.it tin.it inwind.it iol.it telefonica.net terra.es terra.com.br uol.com.br bol.com.br ig.com.br \
sapo.pt telenet.be skynet.be ziggo.nl kpnmail.nl planet.nl xs4all.nl home.nl hetnet.nl comhem.se bredband.net \
online.no getmail.no mail.dk jubii.dk stofanet.dk wp.pl o2.pl onet.pl interia.pl op.pl gazeta.pl tlen.pl seznam.cz email.cz \
centrum.cz post.cz volny.cz azet.sk zoznam.sk centrum.sk freemail.hu citromail.hu t-online.hu abv.bg mail.bg yahoo.ro \
mail.ru inbox.ru list.ru bk.ru internet.ru yandex.ru yandex.com ya.ru rambler.ru ukr.net i.ua meta.ua mail.ee inbox.lv \
qq.com foxmail.com 163.com 126.com yeah.net sina.com sina.cn sohu.com 139.com 189.cn aliyun.com naver.com daum.net hanmail.net \
nate.com docomo.ne.jp ezweb.ne.jp au.com softbank.ne.jp i.softbank.jp nifty.com biglobe.ne.jp ocn.ne.jp rediffmail.com \
btinternet.com btopenworld.com sky.com virginmedia.com ntlworld.com blueyonder.co.uk talktalk.net o2.co.uk \
comcast.net verizon.net att.net sbcglobal.net bellsouth.net cox.net charter.net earthlink.net optonline.net juno.com \
rogers.com sympatico.ca shaw.ca telus.net videotron.ca bigpond.com optusnet.com.au iinet.net.au xtra.co.nz mail.com email.com \
usa.com inbox.com lycos.com gawab.com maktoob.com walla.co.il walla.com zohomail.eu duck.com hey.com skiff.com mozmail.com \
privaterelay.appleid.com simplelogin.com anonaddy.com mailinator.com guerrillamail.com 10minutemail.com yopmail.com trashmail.com";

const ROLES: &str = "abuse accounting accounts admin administrator all alert alerts billing bounce bounces buchhaltung \
careers compliance contact contacto contato daemon do-not-reply do_not_reply donotreply einkauf empfang enquiries enquiry \
facturacion feedback finance ftp hello help helpdesk hi hilfe hostmaster hr info infos information inquiries invoice \
invoices jobs kontakt kundenservice legal list listserv mail mailer-daemon mailerdaemon majordomo marketing media \
members membership moderator news newsletter nobody no-reply no_reply noc noreply notification notifications notify \
office orders owner payments personal poczta postmaster press presse privacy purchasing rechnung rechnungen reception \
recruiting register registration reply request root sales security service services shipping shop spam staff subscribe \
subscribe-request support sysadmin team tech undisclosed unsubscribe updates usenet uucp verkauf vertrieb webmaster \
welcome www";

impl Default for NameLists {
    fn default() -> Self {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
        Self { free_mail: words(FREE_MAIL), roles: words(ROLES) }
    }
}

impl NameLists {
    /// Can everybody have an address at this domain (lower case)?
    #[must_use]
    pub fn is_free_mail(&self, domain: &str) -> bool {
        self.free_mail.contains(domain)
    }

    /// Does nobody answer personally for this address (lower case)?
    #[must_use]
    pub fn is_role(&self, address: &str) -> bool {
        let local = address.rsplit_once('@').map_or(address, |(local, _)| local);
        let base = local.split_once('+').map_or(local, |(base, _)| base);
        let automatic = ["noreply", "no-reply", "no_reply", "donotreply", "do-not-reply", "bounce", "mailer-daemon"];
        self.roles.contains(base) || automatic.iter().any(|word| base.starts_with(word) || base.ends_with(word))
    }
}

#[cfg(test)]
mod tests {
    use super::NameLists;

    #[test]
    fn roles_are_recognised_with_tags_and_additions_and_people_are_not() {
        let lists = NameLists::default();
        for role in ["info@a.example", "support+7@a.example", "noreply-billing@a.example", "calendar-noreply@a.example"]
        {
            assert!(lists.is_role(role), "{role}");
        }
        for person in ["ann@a.example", "infomir@a.example", "sales.ann@a.example"] {
            assert!(!lists.is_role(person), "{person}");
        }
    }
}
