//! A new password for Passline's own account: whatever dies in between, the one that holds is kept.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::*;
use crate::integration::target::faulty::Fault;
use crate::integration::target::{Refusal, TargetError};
use crate::service::key_source::KeySource;
use crate::service::vault::Vault;

struct Kept {
    house: House,
    vault: Vault,
}

impl Kept {
    async fn build() -> Self {
        let house = House::build().await;
        house.mail.put(Faulty::OWN, "old", false);
        let source = KeySource::File(house.folder.path().join("keys"));
        let vault = Vault::new(house.services.store().clone(), source);
        let old = Secret::new("old".to_owned());
        house
            .services
            .keep_credential(&vault, &cli(), "Mail", &old)
            .await
            .unwrap();
        Self { house, vault }
    }

    async fn renew(&self) -> Result<Renewed, RenewalError> {
        self.house.services.renew_credential(&self.vault, &cli(), "Mail").await
    }

    async fn settle(&self) -> bool {
        let services = &self.house.services;
        services.settle_renewal(&self.vault, &cli(), "Mail").await.unwrap()
    }

    fn fails(&self, change: Fault, sign_in: Fault) {
        self.house.mail.fail_resets(Faulty::OWN, [change]);
        self.house.mail.fail_verifications(Faulty::OWN, [sign_in]);
    }

    /// The password that holds.
    fn real(&self) -> String {
        self.house.mail.password(Faulty::OWN)
    }

    async fn credential(&self) -> String {
        self.vault.of("Mail").await.unwrap().unwrap().expose().to_owned()
    }

    async fn pending(&self) -> Option<String> {
        let pending = self.vault.renewal_of("Mail").await.unwrap();
        pending.map(|(password, _)| password.expose().to_owned())
    }

    async fn changes_recorded(&self) -> usize {
        let names = self.house.event_names().await;
        names.iter().filter(|name| **name == "ET_CONFIG_CHANGED").count()
    }
}

#[tokio::test]
async fn the_account_has_a_new_password_which_is_kept() {
    let kept = Kept::build().await;
    let before = kept.changes_recorded().await;
    assert_eq!(kept.renew().await.unwrap(), Renewed::Renewed);
    let new = kept.real();
    assert_eq!(kept.credential().await, new);
    assert_eq!(kept.pending().await, None);
    assert_eq!(kept.changes_recorded().await, before + 1);
    assert_eq!(new.len(), 32);
    assert_eq!(kept.renew().await.unwrap(), Renewed::Renewed, "as often as one likes");
    assert_ne!(kept.real(), new);
    assert_eq!(kept.credential().await, kept.real());
}

#[tokio::test]
async fn a_refusal_leaves_everything_as_it_was() {
    let kept = Kept::build().await;
    kept.fails(Fault::Refuse, Fault::None);
    assert!(matches!(kept.renew().await, Err(RenewalError::NotDone(_))));
    assert_eq!((kept.real().as_str(), kept.credential().await.as_str()), ("old", "old"));
    assert_eq!(kept.pending().await, None);

    // What is kept was wrong from the beginning.
    kept.house.mail.put(Faulty::OWN, "another", false);
    match kept.renew().await {
        Err(RenewalError::NotDone(TargetError::Refused { refusal, .. })) => assert_eq!(refusal, Refusal::OldPassword),
        other => panic!("{other:?}"),
    }
    assert_eq!(kept.pending().await, None);

    let unknown = kept
        .house
        .services
        .renew_credential(&kept.vault, &cli(), "Payroll")
        .await;
    assert!(matches!(unknown, Err(RenewalError::NoCredential { .. })));
}

#[tokio::test]
async fn a_lost_answer_is_found_by_signing_in() {
    let kept = Kept::build().await;
    kept.fails(Fault::DieAfterEffect, Fault::None);
    assert_eq!(kept.renew().await.unwrap(), Renewed::Renewed);
    assert_eq!(kept.credential().await, kept.real());
}

#[tokio::test]
async fn what_nobody_knows_is_found_at_the_next_start_or_the_next_time() {
    for start in [true, false] {
        let kept = Kept::build().await;
        kept.fails(Fault::DieAfterEffect, Fault::DieBeforeEffect);
        assert!(matches!(kept.renew().await, Err(RenewalError::Unclear { .. })));
        assert_eq!(kept.credential().await, "old");
        assert_eq!(kept.pending().await, Some(kept.real()));
        if start {
            assert!(kept.settle().await);
        } else {
            assert_eq!(kept.renew().await.unwrap(), Renewed::Completed);
        }
        assert_eq!(kept.credential().await, kept.real());
        assert_eq!(kept.pending().await, None);
        assert!(!kept.settle().await, "there is nothing to be found out any more");
    }
}

#[tokio::test]
async fn what_did_not_happen_is_asked_for_again_with_the_same_password() {
    let kept = Kept::build().await;
    kept.fails(Fault::DieBeforeEffect, Fault::None);
    assert!(matches!(kept.renew().await, Err(RenewalError::Unclear { .. })));
    let pending = kept.pending().await.unwrap();
    assert!(!kept.settle().await);
    assert_eq!(kept.pending().await, Some(pending.clone()), "it may still take effect");
    assert_eq!(kept.renew().await.unwrap(), Renewed::Renewed);
    assert_eq!((kept.real(), kept.credential().await), (pending.clone(), pending));
}

#[tokio::test]
async fn a_password_that_somebody_else_has_set_is_told_as_what_it_is() {
    let kept = Kept::build().await;
    kept.fails(Fault::DieBeforeEffect, Fault::None);
    assert!(kept.renew().await.is_err());
    kept.house.mail.put(Faulty::OWN, "another", false);
    assert!(matches!(kept.renew().await, Err(RenewalError::LockedOut { .. })));
    // The way out.
    let another = Secret::new("another".to_owned());
    let services = &kept.house.services;
    services
        .keep_credential(&kept.vault, &cli(), "Mail", &another)
        .await
        .unwrap();
    assert_eq!(kept.pending().await, None);
    assert_eq!(kept.renew().await.unwrap(), Renewed::Renewed);
}

#[tokio::test]
async fn a_running_program_learns_the_new_password_once() {
    let kept = Kept::build().await;
    let (services, mail) = (&kept.house.services, &kept.house.mail);
    let mut known = std::collections::BTreeMap::new();
    services.hand_out(&kept.vault, &mut known).await.unwrap();
    assert_eq!(mail.own().as_deref(), Some("old"));
    kept.house.clock.advance(Duration::from_secs(1));
    kept.renew().await.unwrap();
    services.hand_out(&kept.vault, &mut known).await.unwrap();
    assert_eq!(mail.own(), Some(kept.real()));
    mail.take_own_password(Secret::new("untouched".to_owned()));
    services.hand_out(&kept.vault, &mut known).await.unwrap();
    assert_eq!(mail.own().as_deref(), Some("untouched"), "it has not changed since");
}

#[tokio::test]
async fn keys_are_rotated_while_nobody_knows() {
    let kept = Kept::build().await;
    kept.fails(Fault::DieAfterEffect, Fault::DieBeforeEffect);
    assert!(kept.renew().await.is_err());
    let pending = kept.pending().await;
    let (key, count) = kept.house.services.rotate_keys(&kept.vault, &cli()).await.unwrap();
    assert_eq!((key, count), (2, 2));
    assert_eq!(kept.pending().await, pending);
    let status = kept.vault.status().await.unwrap();
    let under: Vec<_> = status.credentials.iter().map(|c| (c.target.as_str(), c.key)).collect();
    assert_eq!(under, [("Mail", 2), ("Mail (renewal)", 2)]);
    assert!(kept.settle().await);
}

/// Whatever happens, in whatever order: what opens the door is in the database.
#[tokio::test]
async fn nothing_locks_passline_out() {
    let kept = Kept::build().await;
    let mut rng = StdRng::seed_from_u64(7);
    let faults = [
        Fault::None,
        Fault::Refuse,
        Fault::Unreachable,
        Fault::DieBeforeEffect,
        Fault::DieAfterEffect,
    ];
    let mut renewed = 0;
    for _ in 0..200 {
        let mut draw = || faults[rng.random_range(0..faults.len())];
        let (changes, sign_ins): (Vec<_>, Vec<_>) = (0..3).map(|_| (draw(), draw())).unzip();
        kept.house.mail.fail_resets(Faulty::OWN, changes);
        kept.house.mail.fail_verifications(Faulty::OWN, sign_ins);
        if rng.random_bool(0.3) {
            kept.settle().await;
        }
        renewed += usize::from(kept.renew().await.is_ok());
        kept.house.clock.advance(Duration::from_secs(rng.random_range(0..2)));
        let real = kept.real();
        assert!(kept.credential().await == real || kept.pending().await == Some(real));
    }
    assert!(renewed > 10, "{renewed}");
}
