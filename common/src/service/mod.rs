//! What a systemd service needs: TLS, signals, metrics, admin.
