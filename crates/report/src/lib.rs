//! History of each message, and delivery status notifications.
