# Deutsch. Eine Zeile je Text: Schlüssel = Text. Was in { $name } steht, wird eingesetzt.

title-received = Nachricht wurde empfangen
title-refused = Nachricht wurde abgelehnt
title-attempt = Ein Versuch ist fehlgeschlagen
title-deferred = Nachricht wartet auf einen weiteren Versuch
title-check-tls = Verarbeitung läuft: TLS prüfen
title-bounced = Nachricht wurde an den Absender zurückgegeben
title-deleted-by-tls-policy = Nachricht wurde wegen der TLS-Richtlinie gelöscht
title-delivered = Nachricht wurde zugestellt
title-expired = Die Frist zur Zustellung ist abgelaufen

hop-receive = beim Empfang
hop-deliver = bei der Zustellung

result-success = erledigt
result-transient = vorerst nicht
result-permanent = endgültig gescheitert

label-id = Kennung
label-sender = von
label-recipient = an
label-size = Größe
label-host = Server
label-result = Ergebnis
label-reason = Grund
label-reply = Antwort
label-next = nächster Versuch
label-decided = entschieden
label-trace = Herleitung
label-tls = TLS
label-certificate = Zertifikat
label-pin = Schlüssel-Pin
label-path = Pfad
label-demand = Anforderung
label-finding = Befund

via = { $host } (nächstes Ziel { $next })
octets = { $count } Oktette
attempt-number = Versuch { $count }
decided-by = { $level }, verlangt von { $source }
clear-text = keines: die Verbindung war im Klartext
post-quantum = quantensicher
not-post-quantum = nicht quantensicher
no-key-exchange = kein Schlüsselaustausch
resumed = wiederaufgenommene Sitzung
no-path = keiner zu einem Vertrauensanker
satisfied = { $demand }: erfüllt
not-satisfied = { $demand }: nicht erfüllt
insecure-name = der Name { $name } stammt aus dem DNS ohne DNSSEC

dsn-from = Mail Delivery System
dsn-subject-failed = Ihre Nachricht konnte nicht zugestellt werden
dsn-subject-delayed = Ihre Nachricht verzögert sich
dsn-intro = Dies ist das Mailsystem von { $host }.
dsn-failed = Ihre Nachricht konnte an die folgenden Adressen nicht zugestellt werden. Es wird nicht weiter versucht.
dsn-delayed = Ihre Nachricht konnte an die folgenden Adressen noch nicht zugestellt werden. Sie brauchen sie nicht noch einmal zu senden.
dsn-reason = Grund: { $reason }
dsn-decided = TLS wurde in der Stufe „{ $level }“ verlangt, festgelegt durch { $source }.
dsn-reply = { $host } antwortete: { $reply }
dsn-reply-unnamed = Die Gegenseite antwortete: { $reply }
dsn-until = Es wird bis { $time } versucht.
dsn-received = Ihre Nachricht wurde am { $time } als { $id } angenommen.
dsn-headers = Der Kopf Ihrer Nachricht folgt.
dsn-whole = Ihre Nachricht folgt.
