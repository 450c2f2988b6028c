//! What reports say, in the languages and with the words of common servers. All of it is compared in lower case.

/// Does the line announce a list of addresses?
pub(super) fn announces(line: &str) -> bool {
    ANNOUNCED.iter().any(|known| line.contains(known))
        || (line.len() >= SENTENCE
            && line.trim_end().ends_with([':', '：'])
            && RECIPIENTS.iter().any(|word| line.contains(word)))
}

/// A shorter line is the name of a field.
const SENTENCE: usize = 30;

/// Does it say that a message is late?
pub(super) fn delays(text: &str) -> bool {
    DELAYED.iter().any(|known| text.contains(known))
}

/// Does it say in a sentence that something failed?
pub(super) fn speaks(text: &str) -> bool {
    SPOKEN.iter().any(|known| text.contains(known))
}

/// Does the returned message stand below the line?
pub(super) fn returns(line: &str) -> bool {
    RETURNED.iter().any(|known| line.contains(known))
}

/// Sentences that announce a list of addresses.
const ANNOUNCED: [&str; 47] = [
    "following address(es) failed",
    "following addresses failed",
    "following address failed",
    "unable to deliver your message to the following",
    "unable to deliver message to the following",
    "permanent fatal errors",
    "had delivery problems",
    "transient non-fatal errors",
    "delivery errors",
    "following recipient(s) could not be reached",
    "following recipients could not be reached",
    "not be delivered to the following",
    "delivery to the following recipient",
    "cannot be delivered",
    "delivery has failed to these recipients",
    "was not delivered to",
    "undeliverable to the following",
    "wasn't able to deliver your message to the following",
    "not able to deliver your message to the following",
    "could not be delivered to one or more",
    "did not reach",
    "following recipients was rejected",
    "not delivered to the following",
    "couldn't be delivered to the following",
    "user(s) account is disabled",
    "failed to deliver to",
    "unable to deliver the message to",
    "delivery failed to",
    "mail could not be delivered to",
    "following addresses were not",
    "the message was undeliverable",
    "recipients of your message",
    "konnte nicht zugestellt werden",
    "nicht zugestellt werden",
    "n'a pas pu être remis",
    "n'a pu être remis",
    "no se pudo entregar",
    "no se ha podido entregar",
    "non è stato possibile",
    "送信できませんでした",
    "配信できませんでした",
    "deliver the mail to the following",
    "could not be delivered to:",
    "failed recipients",
    "couldn't be delivered",
    "reasons given by the remote",
    "échec de la remise",
];

/// The word for those whom a message did not reach; a line with it that ends in a colon is about them.
const RECIPIENTS: [&str; 23] = [
    "these recipients",
    "following recipient",
    "destinataires",
    "destinataire suivant",
    "empfänger",
    "destinatarios",
    "destinatari o gruppi",
    "destinatari seguenti",
    "seguenti destinatari",
    "destinatários",
    "geadresseerden",
    "ontvangers",
    "adresatów",
    "odbiorców",
    "mottagare",
    "modtagere",
    "mottakere",
    "vastaanottaj",
    "příjemcům",
    "получател",
    "收件人",
    "受信者",
    "받는 사람",
];

/// Sentences of notices that a message is late.
const DELAYED: [&str; 13] = [
    "has not been delivered to all of its recipients after",
    "warning message only",
    "has been delayed",
    "will keep trying",
    "delivery attempts will continue",
    "no action is required",
    "you do not need to resend",
    "not yet been delivered",
    "still undelivered",
    "will continue to try",
    "will be retried",
    "delivery to the following recipients has been delayed",
    "still being retried",
];

/// Sentences that contain the address themselves.
const SPOKEN: [&str; 21] = [
    "your message to",
    "message wasn't delivered to",
    "unknown user:",
    "undeliverable to",
    "invalid recipient:",
    "wasn't found at",
    "user mailbox exceeds allowed size:",
    "invalid final delivery userid:",
    "delivery failed",
    "user unknown",
    "could not be delivered to",
    "not deliver",
    "no such user",
    "delivery of mail to",
    "was rejected by",
    "does not exist",
    "doesn't exist",
    "recipient address rejected",
    "undeliverable",
    "not be delivered",
    "failed:",
];

/// Lines after which the returned message stands.
const RETURNED: [&str; 22] = [
    "--- below this line is a copy",
    "this is a copy of the message",
    "original message follows",
    "--- original message",
    "----- original message",
    "message header follows",
    "original message headers",
    "--- returned message",
    "----- unsent message",
    "unsent message below",
    "--- the header of the original message",
    "--- undelivered message",
    "copy of your message, including all the headers",
    "returned mail follows",
    "message header:",
    "original headers:",
    "--- the headers of the message",
    "---------- forwarded message",
    "return-path:",
    "your original message",
    "message headers follow",
    "header of the original message",
];
