#!/usr/bin/perl
# Verifies each DKIM signature of a message by Mail::DKIM, with public keys from a file instead of the DNS.
#
#   verify_dkim.pl KEYS < MESSAGE        KEYS: lines "selector._domainkey.domain <tab> TXT record"
#
# Prints one line a signature: "algorithm result". Mail::DKIM sends its queries to the resolver object below,
# so nothing leaves the machine.
use strict;
use warnings;
use MIME::Base64 ();
use Mail::DKIM::DNS;
use Mail::DKIM::Verifier;
use Net::DNS;

package FileResolver;
sub new { my ($class, $keys) = @_; return bless { keys => $keys }, $class }
sub errorstring { return 'NOERROR' }
sub send {
    my ($self, $name, $type) = @_;
    my $packet = Net::DNS::Packet->new($name, $type);
    my $text = $self->{keys}{ lc $name };
    if (defined $text) {
        my @parts = unpack '(A250)*', $text;
        $packet->push(answer => Net::DNS::RR->new(name => $name, type => 'TXT', txtdata => \@parts));
    }
    $packet->header->rcode(defined $text ? 'NOERROR' : 'NXDOMAIN');
    return $packet;
}

# Mail::DKIM before 1.20240619 canonicalises and hashes but knows no Ed25519 (RFC 8463): there the last step, one
# signature over the finished SHA-256 of the header, is done here by CryptX. Its code is neither ours nor dkimpy's.
package Ed25519Key;
sub size { return 32 }

package Ed25519Algorithm;
our @ISA = ('Mail::DKIM::Algorithm::rsa_sha256');
sub verify {
    my $self = shift;
    my $digest = $self->{header_digest}->digest;
    my $key = Crypt::PK::Ed25519->new;
    my $record = $self->signature->get_public_key;
    return unless $record->get_tag('k') eq 'ed25519';
    $key->import_key_raw(MIME::Base64::decode_base64($record->data), 'public');
    return unless $key->verify_message(MIME::Base64::decode_base64($self->signature->data), $digest);
    return $self->check_body_hash;
}

sub teach_mail_dkim {
    require Crypt::PK::Ed25519;
    require Mail::DKIM::Algorithm::rsa_sha256;
    no warnings 'redefine';
    my $class_of = \&Mail::DKIM::Signature::get_algorithm_class;
    *Mail::DKIM::Signature::get_algorithm_class = sub {
        return $_[1] eq 'ed25519-sha256' ? 'Ed25519Algorithm' : $class_of->(@_);
    };
    my $check = \&Mail::DKIM::PublicKey::check;
    *Mail::DKIM::PublicKey::check = sub {
        my $record = shift;
        return $check->($record) unless ($record->get_tag('k') // '') eq 'ed25519';
        die "bad Ed25519 key\n" unless length(MIME::Base64::decode_base64($record->data // '')) == 32;
        $record->cork(bless {}, 'Ed25519Key');
        return 1;
    };
}

package main;
Ed25519Algorithm::teach_mail_dkim() unless Mail::DKIM::Signature->get_algorithm_class('ed25519-sha256');
my $file = shift or die "usage: verify_dkim.pl KEYS < MESSAGE\n";
open my $input, '<', $file or die "$file: $!\n";
my %keys;
while (<$input>) { chomp; my ($name, $text) = split /\t/, $_, 2; $keys{ lc $name } = $text; }
close $input;

Mail::DKIM::DNS::resolver(FileResolver->new(\%keys));
my $verifier = Mail::DKIM::Verifier->new();
binmode STDIN;
$verifier->PRINT($_) while <STDIN>;
$verifier->CLOSE;
print $_->algorithm, ' ', $_->result_detail, "\n" for $verifier->signatures;
