//! The token endpoint's refusals, with what Microsoft's numbers add to RFC 6749.
//! Source: <https://learn.microsoft.com/entra/identity-platform/reference-error-codes>.
//!
//! `error` and `suberror` decide; the numbers (AADSTS…) may change, and refine whose turn it is and what is said.

use integration_core::{
    connection::{TokenFailure, TokenFailureClass},
    error::{Actor, Remedy},
};

/// Cause, who acts, and what to do.
type Advice = (&'static str, Actor, &'static str);

const AGAIN: &str = "Connect the account again.";

/// It passes, whatever error it comes with.
const PASSING: [u64; 7] = [50000, 50033, 90006, 90012, 90024, 90033, 90055];
/// The service thinks that the app asks in a loop.
const LOOPS: u64 = 50196;
/// The person has to prove more, or anew.
const PROOF: [u64; 8] = [50058, 50072, 50074, 50076, 50078, 50079, 50158, 70043];
const NO_CONSENT: u64 = 65001;
/// The app is unknown or switched off, in the organisation or at all.
const REMOVED: [u64; 3] = [700016, 70001, 7000112];

pub(crate) fn classify_token(failure: &TokenFailure<'_>) -> TokenFailureClass {
    use TokenFailureClass::{Misconfigured, Throttled, Transient};
    let codes = numbers(failure);
    let has = |wanted: &[u64]| codes.iter().any(|code| wanted.contains(code));
    match failure.error {
        _ if failure.status.as_u16() == 429 => Throttled,
        _ if failure.status.is_server_error() => Transient,
        // Whatever the number: it is the app that was refused, for everybody, and no person can do anything about it.
        Some("invalid_client") => Misconfigured(remedy(advice(&codes, credential).unwrap_or(CREDENTIAL))),
        Some("server_error" | "temporarily_unavailable") => Transient,
        _ if has(&PASSING) => Transient,
        _ if has(&[LOOPS]) => Throttled,
        // A sign-in that had worked: the app was removed there, or everywhere.
        Some("unauthorized_client") if failure.grant_age.is_some() && has(&REMOVED) => TokenFailureClass::AppRefused {
            administrator: remedy(LET_IN),
            operator: remedy(advice(&codes, registration).unwrap_or(REGISTRATION)),
        },
        Some("unauthorized_client") => Misconfigured(remedy(advice(&codes, registration).unwrap_or(REGISTRATION))),
        Some("invalid_request" | "invalid_resource" | "invalid_scope" | "unsupported_grant_type") => {
            Misconfigured(remedy(advice(&codes, request).or(advice(&codes, registration)).unwrap_or(REQUEST)))
        }
        _ => of_the_account(failure, &codes),
    }
}

/// What is about one account: a person, or its organisation.
fn of_the_account(failure: &TokenFailure<'_>, codes: &[u64]) -> TokenFailureClass {
    use TokenFailureClass::{AdminConsent, AdminPolicy, Misconfigured, NeedsConsent, Revoked};
    let has = |wanted: &[u64]| codes.iter().any(|code| wanted.contains(code));
    if let Some(advice) = advice(codes, admin_consent) {
        return AdminConsent(remedy(advice));
    }
    if let Some(advice) = advice(codes, policy) {
        return AdminPolicy(remedy(advice));
    }
    // Neither can be solved by signing in once more: the one outside of it, the other not at all.
    if matches!(failure.subtype, Some("additional_action" | "message_only")) {
        return AdminPolicy(remedy(BLOCKED));
    }
    if let Some(advice) = advice(codes, request).or(advice(codes, registration)) {
        return Misconfigured(remedy(advice));
    }
    let known = advice(codes, account);
    let proof =
        matches!(failure.subtype, Some("basic_action" | "consent_required")) || has(&PROOF) || has(&[NO_CONSENT]);
    match failure.error {
        Some("consent_required" | "interaction_required" | "login_required") => {
            NeedsConsent(remedy(known.unwrap_or(ASKED_AGAIN)))
        }
        _ if proof => NeedsConsent(remedy(known.unwrap_or(ASKED_AGAIN))),
        Some("access_denied") => match known {
            Some(advice) => Revoked(remedy(advice)),
            None => NeedsConsent(remedy(DECLINED)),
        },
        Some("invalid_grant") => match failure.subtype {
            Some("user_password_expired") => Revoked(remedy(known.unwrap_or(PASSWORD))),
            Some("client_mismatch" | "device_authentication_failed" | "protection_policy_required") => {
                Revoked(remedy(known.unwrap_or(DEVICE)))
            }
            _ => Revoked(remedy(known.unwrap_or(ENDED))),
        },
        _ => TokenFailureClass::standard(failure),
    }
}

/// The numbers of the answer; where it is a callback, the one in its text.
fn numbers(failure: &TokenFailure<'_>) -> Vec<u64> {
    if !failure.codes.is_empty() {
        return failure.codes.to_vec();
    }
    let text = failure.description.unwrap_or_default();
    let digits = |part: &str| part.bytes().take_while(u8::is_ascii_digit).count();
    text.split("AADSTS").skip(1).filter_map(|part| part.get(..digits(part))?.parse().ok()).take(4).collect()
}

fn advice(codes: &[u64], table: fn(u64) -> Option<Advice>) -> Option<Advice> {
    codes.iter().find_map(|&code| table(code))
}

fn remedy((cause, actor, action): Advice) -> Remedy {
    Remedy::new(cause, actor, action)
}

const CREDENTIAL: Advice = (
    "Microsoft does not know the app, or refuses its secret or certificate.",
    Actor::Operator,
    "Check the application id and its credential in the registration.",
);

/// How the app proves itself.
fn credential(code: u64) -> Option<Advice> {
    Some(match code {
        7000222 => (
            "The app's client secret has expired, for all accounts at once.",
            Actor::Operator,
            "Add a new secret or a certificate to the registration and set it here.",
        ),
        7000215 => (
            "The app's client secret is wrong; often the secret's id was copied in place of its value.",
            Actor::Operator,
            "Set the secret's value, or add a new secret to the registration.",
        ),
        700027 | 50012 | 50013 => (
            "Microsoft refuses the assertion that the app signed: its certificate is not registered, or the clock is off.",
            Actor::Operator,
            "Upload the certificate to the registration, and check the machine's clock.",
        ),
        700025 => (
            "The registration is a public client, but the app sent a secret.",
            Actor::Operator,
            "Leave the credential out, or register a web platform.",
        ),
        _ => return registration(code),
    })
}

const REGISTRATION: Advice = (
    "The app may not be used here: it is switched off, or unknown in this organisation.",
    Actor::Operator,
    "Check the registration, and that it is open to the organisations it is for.",
);

const LET_IN: Advice = (
    "The app was removed from the account's organisation, or switched off there; elsewhere it works.",
    Actor::Administrator,
    "Allow the app again, or switch it on among the organisation's enterprise applications.",
);

/// The app itself, in the organisation or at all.
fn registration(code: u64) -> Option<Advice> {
    Some(match code {
        700016 | 70001 => REGISTRATION,
        7000112 => (
            "The app is switched off at Microsoft.",
            Actor::Operator,
            "Switch it on again, in the registration or in the organisation's enterprise applications.",
        ),
        50194 => (
            "The registration is for one organisation, but the sign-in is for all.",
            Actor::Operator,
            "Open the registration to several organisations, or set the tenant.",
        ),
        500011 | 650052 | 650057 | 65005 => (
            "The app asks for a service that the organisation does not have, or that the registration does not list.",
            Actor::Operator,
            "Add the permissions of Microsoft Graph to the registration.",
        ),
        90002 | 90019 | 90038 => (
            "There is no such organisation in this cloud.",
            Actor::Operator,
            "Check the tenant and the cloud in the configuration.",
        ),
        _ => return None,
    })
}

const REQUEST: Advice = (
    "Microsoft did not understand the request for a token.",
    Actor::Operator,
    "Check the kind of client, its redirect and its tenant; if they are right, report it as an error of this library.",
);

/// How the app asked.
fn request(code: u64) -> Option<Advice> {
    Some(match code {
        50011 => (
            "The redirect is not registered for the app.",
            Actor::Operator,
            "Add it, letter for letter, to the web platform of the registration.",
        ),
        7000218 => (
            "The registration wants a secret or a certificate, and the app sent none.",
            Actor::Operator,
            "Set the credential, or allow public client flows in the registration.",
        ),
        28002 | 70011 | 700022 => (
            "The app asks for a scope that there is not, or for several services at once.",
            Actor::Operator,
            "Check the cloud: Graph's name in scopes differs from one to the other.",
        ),
        90023 | 9001023 => (
            "This kind of sign-in is not for everybody's tenant.",
            Actor::Operator,
            "Set the organisation's id or domain as the tenant.",
        ),
        700005 => (
            "The sign-in began at another tenant's address than it was to end at.",
            Actor::Operator,
            "Leave the tenant as it was when the accounts were connected, or connect them again.",
        ),
        700084 => (
            "The redirect is registered for a single-page app, whose sign-ins end after a day.",
            Actor::Operator,
            "Register the redirect on the web platform, then connect the accounts again.",
        ),
        90014 | 900144 | 9002313 => REQUEST,
        _ => return None,
    })
}

/// An administrator has to allow the app.
fn admin_consent(code: u64) -> Option<Advice> {
    Some(match code {
        90094 => (
            "In this organisation only an administrator can allow the app to read mail.",
            Actor::Administrator,
            "Open the address for administrators, sign in and allow the app; then connect the account again.",
        ),
        90095 => (
            "An administrator was asked to allow the app, and has not answered yet.",
            Actor::Administrator,
            "Answer the request, or open the address for administrators; then connect the account again.",
        ),
        _ => return None,
    })
}

const BLOCKED: Advice = (
    "The organisation's conditional access keeps this sign-in out; signing in again does not help.",
    Actor::Administrator,
    "Let the app, or the server it runs on, through the policy; then connect the account again.",
);

/// What signing in again would only run into again.
fn policy(code: u64) -> Option<Advice> {
    Some(match code {
        50131 | 53003 | 53011 | 530032 | 530035 => BLOCKED,
        50097 | 53000 | 53001 | 53002 => (
            "The organisation allows only managed devices or approved apps, which a server is not.",
            Actor::Administrator,
            "Leave the app out of the policy; then connect the account again.",
        ),
        50105 => (
            "The person is not among those who may use the app.",
            Actor::Administrator,
            "Assign the person to the app in the organisation's enterprise applications.",
        ),
        50053 => (
            "The account is locked, or the address that it signs in from is blocked.",
            Actor::Administrator,
            "Unlock the account; then connect it again.",
        ),
        _ => return None,
    })
}

const ASKED_AGAIN: Advice = ("Microsoft asks the person to sign in again.", Actor::Person, AGAIN);
const DECLINED: Advice =
    ("The app was not allowed at Microsoft.", Actor::Person, "Connect the account again and allow the app.");
const PASSWORD: Advice =
    ("The account's password has expired.", Actor::Person, "Change it; then connect the account again.");
const DEVICE: Advice = (
    "The organisation wants to know the device or app that signs in.",
    Actor::Person,
    "Connect the account again; if that does not help, ask an administrator to let the app in.",
);
const ENDED: Advice = (
    "Microsoft no longer accepts this sign-in: it was revoked, unused for 90 days, or an administrator changed something.",
    Actor::Person,
    AGAIN,
);

/// One person's account.
fn account(code: u64) -> Option<Advice> {
    Some(match code {
        16000 | 50020 | 50034 | 51004 => (
            "The account does not belong to the organisation that was signed in to.",
            Actor::Person,
            "Connect again, and choose another account.",
        ),
        50055 | 50144 => PASSWORD,
        50057 => (
            "The account was switched off at Microsoft.",
            Actor::Administrator,
            "Switch it on again, then connect it again; or disconnect it here.",
        ),
        50072 | 50074 | 50076 | 50078 | 50079 | 50158 => {
            ("The organisation wants a second proof of who signs in.", Actor::Person, AGAIN)
        }
        50089 | 54005 => ("The sign-in took too long, or was used before.", Actor::Person, AGAIN),
        50126 => ("Name or password was wrong.", Actor::Person, AGAIN),
        50132 | 50133 | 50173 => {
            ("The sign-in was revoked, or the password was changed by an administrator.", Actor::Person, AGAIN)
        }
        65001 => (
            "The app is not allowed at Microsoft, or not any more.",
            Actor::Person,
            "Connect the account again and allow the app; if that is not offered, ask an administrator to.",
        ),
        70008 | 700082 => ("The sign-in was not used for 90 days and has ended.", Actor::Person, AGAIN),
        70043 => (
            "The organisation wants people to sign in again from time to time.",
            Actor::Person,
            "Connect the account again; an administrator can leave the app out of that rule.",
        ),
        90072 => (
            "The account belongs to another organisation and was not invited to this one.",
            Actor::Person,
            "Connect another account, or have this one invited as a guest.",
        ),
        _ => return None,
    })
}
