# English. One line per message: key = text. What stands in { $name } is filled in.

title-received = Mail was received
title-refused = Mail was refused
title-attempt = An attempt failed
title-deferred = Mail is kept for another attempt
title-check-tls = Processing: Check TLS
title-bounced = Mail was returned to the sender
title-deleted-by-tls-policy = Mail was deleted because of the TLS policy
title-delivered = Mail was delivered
title-expired = Mail has reached the end of its lifetime

hop-receive = on the way in
hop-deliver = on the way out

result-success = done
result-transient = not now
result-permanent = failed for good

label-id = id
label-sender = from
label-recipient = to
label-size = size
label-host = host
label-result = result
label-reason = reason
label-reply = reply
label-next = next attempt
label-decided = decided
label-trace = trace
label-tls = TLS
label-certificate = certificate
label-pin = key pin
label-path = path
label-demand = demand
label-finding = finding

via = { $host } (next hop { $next })
octets = { $count } octets
attempt-number = attempt { $count }
decided-by = { $level }, demanded by { $source }
clear-text = none: the connection was in clear text
post-quantum = post-quantum
not-post-quantum = not post-quantum
no-key-exchange = no key exchange
resumed = resumed session
no-path = none to a trust anchor
satisfied = { $demand }: met
not-satisfied = { $demand }: not met
insecure-name = the name { $name } was learnt from DNS without DNSSEC

dsn-from = Mail Delivery System
dsn-subject-failed = Your message could not be delivered
dsn-subject-delayed = Your message is delayed
dsn-intro = This is the mail system of { $host }.
dsn-failed = Your message could not be delivered to the addresses below. It will not be tried again.
dsn-delayed = Your message could not be delivered yet to the addresses below. You need not send it again.
dsn-reason = Reason: { $reason }
dsn-decided = TLS was demanded at the level "{ $level }" by { $source }.
dsn-reply = { $host } replied: { $reply }
dsn-reply-unnamed = The other side replied: { $reply }
dsn-until = It is tried until { $time }.
dsn-received = Your message was received at { $time } as { $id }.
dsn-headers = The header of your message follows.
dsn-whole = Your message follows.
